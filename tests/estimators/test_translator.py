"""One encoder and a decoder for each set: translations without pairs, on images and tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import narrows
from narrows import Training, corruptions, networks
from narrows.errors import InvalidData, InvalidParameter
from narrows.models import TranslatorModule


def bars(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A soft bar somewhere, narrow and dark in one set, broad and bright in the other: pairs, in the same order."""
    places = np.random.default_rng(seed).uniform(3, 12, (n, 1))
    apart = (np.arange(16) - places)[:, None].repeat(16, 1) ** 2
    return (120 * np.exp(-apart / 2)).astype(np.uint8), (250 * np.exp(-apart / 8)).astype(np.uint8)


@pytest.fixture(scope="module")
def fitted():
    left, right = bars(150, 0)[0], bars(200, 1)[1]
    return narrows.Translator(
        4,
        network=networks.Conv(channels=(8, 8), dense=(16,)),
        training=Training(epochs=60, batch_size=50, learning_rate=5e-3, validation=0.0),
        random_state=0,
    ).fit({"thin": left, "thick": right})


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(((np.asarray(a, dtype=float) - b) ** 2).mean())


def test_translations_are_nearer_to_the_truth_than_the_source_and_the_sets_mean(fitted):
    thin, thick = bars(60, 2)
    for x, true, to in ((thin, thick, "thick"), (thick, thin, "thin")):
        made = fitted.translate(x, to=to)
        assert made.shape == x.shape
        assert error(made, true) < 0.5 * error(x, true)
        assert error(made, true) < 0.5 * error(np.broadcast_to(true.mean(0), true.shape), true)


def test_reconstruct_is_translate_to_its_own_set(fitted):
    thin, _ = bars(20, 3)
    assert np.array_equal(fitted.reconstruct(thin, of="thin"), fitted.translate(thin, to="thin"))
    assert error(fitted.reconstruct(thin, of="thin"), thin) < error(
        fitted.untrained().reconstruct(thin, of="thin"), thin
    )


def test_codes_draws_and_batches(fitted):
    thin, _ = bars(20, 3)
    assert fitted.transform(thin).shape == (20, 4)
    parts = [fitted.translate(thin[i : i + 7], to="thick") for i in range(0, 20, 7)]
    assert np.array_equal(np.concatenate(parts), fitted.translate(thin, to="thick"))
    drawn = fitted.sample(30, where="label = 'thick'", random_state=0).astype(float)
    assert drawn.max() > 160  # bars of the thin set have 120
    assert np.array_equal(drawn, fitted.sample(30, where="label = 'thick'", random_state=0))


def test_saved_and_loaded_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    again = narrows.load(tmp_path / "model")
    thin, _ = bars(5, 4)
    assert again.classes_.tolist() == ["thick", "thin"]
    assert np.array_equal(again.translate(thin, to="thick"), fitted.translate(thin, to="thick"))


def test_tables_and_labels_and_equal_seeds():
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, 200)
    a = pd.DataFrame({"x": t, "y": 2 * t})
    b = pd.DataFrame({"x": t[:120] + 5, "y": -t[:120]})
    settings = {"training": Training(epochs=3), "random_state": 0}
    model = narrows.Translator(1, **settings).fit([a, b])
    made = model.translate(a, to="b")
    assert list(made.columns) == ["x", "y"]
    assert model.classes_.tolist() == ["a", "b"]
    both = narrows.Translator(1, **settings).fit(pd.concat([a, b]), labels=["a"] * 200 + ["b"] * 120)
    pd.testing.assert_frame_equal(both.translate(a, to="b"), made)


def test_each_row_is_decoded_by_its_own_decoder():
    from narrows._types import Layout
    from narrows.bottlenecks import Plain
    from narrows.likelihoods import Gaussian
    from narrows.priors import StandardNormal

    layout = Layout(shape=(3,), categories=(0,) * 3, blanks=(False,) * 3, classes=3)
    module = TranslatorModule(layout, networks.Dense(widths=(4,)), Plain(2), Gaussian(), StandardNormal()).eval()
    z, condition = torch.randn(6, 2), torch.tensor([2, 0, 2, 1, 0, 2])
    made = module.decode(z, condition).mean
    decoders = [module.decoder, *module.others]
    for i, k in enumerate(condition.tolist()):
        torch.testing.assert_close(made[i], module.likelihood(decoders[k](z[i : i + 1])).mean[0])
    torch.testing.assert_close(module.decode(z.expand(2, 6, 2), condition).mean[1], made)


def test_what_cannot_be_translated(fitted):
    with pytest.raises(InvalidParameter, match="no set 'bold': the model knows 'thick', 'thin'"):
        fitted.translate(bars(2, 0)[0], to="bold")
    model = narrows.Translator(2, training=Training(epochs=1))
    with pytest.raises(InvalidData, match="two sets of rows or more"):
        model.fit(bars(5, 0)[:1])
    with pytest.raises(InvalidData, match=r"different shapes \(a \(16, 16\), b \(8, 8\)\)"):
        model.fit([bars(5, 0)[0], np.zeros((5, 8, 8))])
    with pytest.raises(InvalidData, match="'a' and 'b' have different columns"):
        model.fit([pd.DataFrame({"x": [1.0, 2.0]}), pd.DataFrame({"y": [1.0, 2.0]})])
    with pytest.raises(InvalidData, match="one kind of container"):
        model.fit([np.zeros((5, 2)), pd.DataFrame({"y": [1.0, 2.0]})])
    for odd in (3, None, np.array(3), pd.Series([1.0, 2.0])):
        with pytest.raises(InvalidData, match="set 'b' is no rows"):
            model.fit([np.zeros((5, 2)), odd])
    assert not hasattr(model, "module_")


def test_bent_images_move_by_the_scale():
    from narrows._types import Layout, Rows

    ramp = (torch.arange(33) + 0.5).div(33).expand(400, 1, 33, 33)
    bent = corruptions.Warp(scale=0.04)(Rows(ramp), Layout(shape=(1, 33, 33))).values
    moved = (bent - ramp)[:, 0, 16, 16]  # the middle, where a shift is drawn
    assert moved.std().item() == pytest.approx(0.04, rel=0.1)
    assert abs(moved.mean().item()) < 0.01


def test_sets_called_by_numbers():
    X = np.random.default_rng(0).normal(size=(20, 3))
    model = narrows.Translator(2, training=Training(epochs=1), random_state=0).fit({1: X, 2: X + 1})
    assert np.array_equal(model.translate(X, to=2), model.translate(X, to="2"))
