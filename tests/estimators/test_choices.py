"""What the data chooses where nobody says anything."""

from __future__ import annotations

import numpy as np
import pytest

import narrows
from narrows import GAN, Diffusion, Training, VariationalAutoencoder, networks

ONCE = Training(epochs=1, batch_size=4, validation=0)


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(8, *shape), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((8, 8), networks.Dense), ((32, 32), networks.Dense), ((12, 90), networks.Dense), ((32, 33), networks.Conv)],
    ids=str,
)
def test_images_of_few_values_are_seen_at_once(shape, kind):
    model = VariationalAutoencoder(2, training=ONCE, random_state=0).fit(images(*shape))
    assert type(model.choices_.network) is kind
    assert any(f"{shape[0]} × {shape[1]} pixels" in reason and "network" in reason for reason in model.reasons_)


@pytest.mark.parametrize(("side", "judge"), [(16, networks.Dense), (33, type(None))], ids=str)
def test_a_gan_makes_images_by_convolutions_and_judges_small_ones_as_a_whole(side, judge):
    model = GAN(training=ONCE, random_state=0).fit(images(side, side))
    assert type(model.choices_.network) is networks.Conv
    assert type(model.choices_.discriminator) is judge
    assert any("dense discriminator" in reason for reason in model.reasons_) == (judge is networks.Dense)


def test_a_gans_discriminator_can_be_chosen_and_is_the_networks_otherwise(tmp_path):
    given = networks.Dense(widths=(7,))
    chosen = GAN(discriminator=given, training=ONCE, random_state=0).fit(images(16, 16))
    assert chosen.module_.discriminator.state_dict().keys() == given.encoder((1, 16, 16), 1).state_dict().keys()
    alike = GAN(network=networks.Conv((4,)), training=ONCE, random_state=0).fit(images(16, 16))
    assert alike.choices_.discriminator is None
    usual = GAN(training=ONCE, random_state=0).fit(images(16, 16))
    for name, model in {"chosen": chosen, "alike": alike, "usual": usual}.items():
        again = narrows.load(model.save(tmp_path / name))
        assert again.choices_.discriminator == model.choices_.discriminator
        assert np.array_equal(again.sample(3, random_state=0), model.sample(3, random_state=0))


@pytest.mark.parametrize(("side", "patch"), [(16, 1), (24, 2)], ids=str)
def test_diffusion_takes_larger_images_in_squares(side, patch):
    model = Diffusion(training=ONCE, random_state=0).fit(images(side, side))
    assert model.choices_.network.patch == patch
    assert any("squares of 2 × 2" in reason for reason in model.reasons_) == (patch == 2)
    assert np.isfinite(model.score_samples(images(side, side))).all()
