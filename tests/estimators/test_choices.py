"""What the data chooses where nobody says anything."""

from __future__ import annotations

import numpy as np
import pytest

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


@pytest.mark.parametrize(("side", "kind"), [(16, networks.Dense), (33, networks.Conv)], ids=str)
def test_a_gan_takes_the_network_that_suits_the_size_of_images(side, kind):
    assert type(GAN(training=ONCE, random_state=0).fit(images(side, side)).choices_.network) is kind


@pytest.mark.parametrize(("side", "patch"), [(16, 1), (24, 2)], ids=str)
def test_diffusion_takes_larger_images_in_squares(side, patch):
    model = Diffusion(training=ONCE, random_state=0).fit(images(side, side))
    assert model.choices_.network.patch == patch
    assert any("squares of 2 × 2" in reason for reason in model.reasons_) == (patch == 2)
    assert np.isfinite(model.score_samples(images(side, side))).all()
