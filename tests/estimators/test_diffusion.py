"""Diffusion estimators: what they make is like the data, what is known is kept, and bad input is told in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import narrows
from narrows import Training, likelihoods, networks, priors
from narrows.diffusion import DDPM, Heun
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators import Diffusion, LatentDiffusion
from narrows.models.diffusion import DiffusionGenerator

SMALL = networks.Residual(width=64, depth=2)
QUICK = Training(epochs=40, batch_size=64, learning_rate=3e-3)


def two_moons(n: int = 800) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_moons

    return make_moons(n, noise=0.08, random_state=0)


def table(n: int = 800) -> tuple[pd.DataFrame, np.ndarray]:
    """Two numbers on two arcs, which arc in words, and a number that is blank for one of them."""
    X, kind = two_moons(n)
    frame = pd.DataFrame({"x": X[:, 0], "y": X[:, 1], "arc": np.where(kind == 0, "upper", "lower")})
    frame["only"] = np.where(kind == 0, X[:, 0] * 2, np.nan)
    return frame, kind


@pytest.fixture(scope="module")
def fitted() -> Diffusion:
    frame, kind = table()
    return Diffusion(SMALL, training=QUICK, random_state=0).fit(frame, labels=kind)


def distance(made: np.ndarray, real: np.ndarray) -> float:
    """Energy distance between two sets of rows."""
    a, b = torch.tensor(made).double(), torch.tensor(real).double()
    return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())


def test_rows_are_like_the_data_and_better_than_untrained_and_one_gaussian(fitted: Diffusion):
    fresh = two_moons(1600)[0][800:]
    made = fitted.sample(800, random_state=0)
    rng = np.random.default_rng(0)
    gaussian = rng.multivariate_normal(fresh.mean(0), np.cov(fresh.T), 800)
    ours, theirs = distance(made[["x", "y"]].to_numpy(), fresh), distance(gaussian, fresh)
    untrained = fitted.untrained().sample(800, random_state=0)[["x", "y"]].to_numpy()
    assert ours < 0.5 * theirs < 0.5 * distance(untrained, fresh)
    upper = made.arc == "upper"
    assert upper.mean() == pytest.approx(0.5, abs=0.1)
    assert (made.only.notna() == upper).mean() > 0.95  # blanks go with the arc
    assert np.corrcoef(made.only[upper & made.only.notna()], made.x[upper & made.only.notna()])[0, 1] > 0.9


def test_rows_vary_repeat_with_the_seed_and_meet_conditions(fitted: Diffusion):
    made = fitted.sample(5, random_state=1)
    pd.testing.assert_frame_equal(made, fitted.sample(5, random_state=1))
    assert not made.equals(fitted.sample(5, random_state=2))
    assert (fitted.sample(50, where="label = 1", random_state=0).arc == "lower").mean() > 0.9
    assert (fitted.sample(20, where="x > 1.2 AND arc = 'lower'", random_state=0).x > 1.2).all()


def test_what_is_known_is_kept_and_the_rest_suits_it(fitted: Diffusion):
    frame, _ = table()
    given = frame.head(100).assign(arc=None, only=np.nan)
    filled = fitted.sample(like=given, random_state=0)
    pd.testing.assert_series_equal(filled.x, given.x)
    pd.testing.assert_series_equal(filled.y, given.y)
    assert (filled.arc == frame.arc.head(100)).mean() > 0.7
    again = fitted.sample(like=given, random_state=0)
    pd.testing.assert_frame_equal(filled, again)


def test_scores_rank_strange_rows_below_normal_ones(fitted: Diffusion):
    frame, _ = table()
    strange = frame.assign(x=frame.x + 4, y=-frame.y - 2)
    normal, odd = fitted.score_samples(frame.head(200)), fitted.score_samples(strange.head(200))
    assert normal.mean() > odd.mean()
    assert np.median(odd) < np.quantile(normal, 0.2)
    np.testing.assert_allclose(fitted.score_samples(frame.head(3)), normal[:3], rtol=1e-4)


def test_files_go_round(fitted: Diffusion, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = narrows.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.sample(4, random_state=0), fitted.sample(4, random_state=0))
    assert loaded.classes_.tolist() == [0, 1]
    assert loaded.module_.guidance == fitted.module_.guidance


def test_the_sampler_and_guidance_can_be_changed(fitted: Diffusion):
    other = Diffusion(SMALL, sampler=DDPM(60), guidance=2.0, training=QUICK.set_params(epochs=1), random_state=0)
    frame, kind = table(100)
    other.fit(frame, labels=kind)
    assert isinstance(other.module_.sampler, DDPM)
    assert other.module_.guidance == 2
    assert other.sample(3, random_state=0).shape == (3, 4)
    assert isinstance(fitted.module_.sampler, Heun)


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, Diffusion]:
    """Bright squares of 9 × 8 pixels at one of two places."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, size=(200, 9, 8), dtype=np.uint8)
    for i, place in enumerate(rng.integers(0, 2, 200)):
        images[i, 5 * place : 5 * place + 4, 2:6] = rng.integers(180, 255)
    training = Training(epochs=40, batch_size=50, learning_rate=3e-3, validation=0.0)
    return images, Diffusion(networks.UNet(channels=(8, 16)), training=training, random_state=0).fit(images)


def test_images_are_made_and_completed_with_known_pixels_to_the_bit(pictures):
    images, model = pictures
    made = model.sample(40, random_state=0)
    assert made.shape == (40, 9, 8)
    assert made.dtype == np.uint8
    bright = np.stack([made[:, :4, 2:6].mean((1, 2)), made[:, 5:, 2:6].mean((1, 2))], axis=1)
    assert ((bright.max(1) > 120) & (bright.min(1) < 100)).mean() > 0.7  # one square, at one of the places
    known = np.zeros((8, 9, 8), dtype=bool)
    known[:, :5] = True
    done = model.sample(like=images[:8], known=known, random_state=0)
    assert done.dtype == images.dtype
    assert np.array_equal(done[known], images[:8][known])
    below = done[:, 5:, 2:6].mean((1, 2)) > 100
    assert (below == (images[:8, 5:, 2:6].mean((1, 2)) > 100)).mean() >= 0.75


@pytest.mark.parametrize("model", [Diffusion(SMALL), LatentDiffusion(code_size=2)], ids=["rows", "codes"])
def test_without_labels_no_class_can_be_asked_for(model):
    model.set_params(training=Training(epochs=1), random_state=0)
    if isinstance(model, LatentDiffusion):
        model.set_params(prior=priors.Diffusion(SMALL, rows=2000))
    model.fit(two_moons(60)[0])
    with pytest.raises(InvalidParameter, match="label"):
        model.sample(3, where="label = 1")


def test_bad_input_is_told_in_words(fitted: Diffusion, pictures):
    images, model = pictures
    with pytest.raises(InvalidData, match="nothing to learn"):
        Diffusion().fit(np.full((60, 8, 8), 7, dtype=np.uint8))
    with pytest.raises(InvalidParameter, match=r"'?7'?.*(0|1)"):
        fitted.sample(3, where="label = '7'")
    with pytest.raises(InvalidParameter, match="shape"):
        model.sample(like=images[:2], known=np.ones((2, 3, 3), bool))
    with pytest.raises(InvalidParameter, match="like"):
        model.sample(3, known=np.ones((2, 9, 8), bool))
    with pytest.raises(InvalidParameter, match="UNet"):
        Diffusion(networks.Conv()).fit(images)
    with pytest.raises(InvalidParameter, match="Residual"):
        Diffusion(networks.UNet()).fit(two_moons(60)[0])


def test_budgets_too_short_and_few_rows_still_give_a_model():
    X = two_moons(50)[0]
    model = Diffusion(SMALL, training=Training(epochs=1000, time_budget=0.2), random_state=0).fit(X)
    assert model.sample(4, random_state=0).shape == (4, 2)
    assert "time budget" in model.history_.stopped
    both = LatentDiffusion(2, training=Training(epochs=100_000, time_budget=0.4), random_state=0).fit(X)
    assert both.sample(4, random_state=0).shape == (4, 2)


@pytest.mark.parametrize(
    "model",
    [
        Diffusion(SMALL, training=Training(epochs=6, learning_rate=1e25), random_state=0),
        LatentDiffusion(2, training=Training(epochs=6, learning_rate=1e25), random_state=0),
        LatentDiffusion(
            2, prior=priors.Diffusion(SMALL, learning_rate=1e25), training=Training(epochs=6), random_state=0
        ),
    ],
    ids=["rows", "autoencoder", "codes"],
)
def test_training_that_is_not_finite_rolls_back_and_leaves_no_half_fitted_model(model):
    with (
        pytest.warns(narrows.errors.TrainingWarning, match="went back"),
        pytest.raises(narrows.errors.TrainingFailed, match="learning rate"),
    ):
        model.fit(two_moons(200)[0])
    assert not hasattr(model, "module_")


def test_equal_seeds_give_equal_models():
    X = two_moons(100)[0]
    a, b = (Diffusion(SMALL, training=Training(epochs=2), random_state=3).fit(X) for _ in range(2))
    assert isinstance(a.module_, DiffusionGenerator)
    np.testing.assert_array_equal(a.sample(5, random_state=0), b.sample(5, random_state=0))


def test_latent_diffusion_makes_rows_of_classes_and_goes_round(tmp_path):
    X, kind = two_moons()
    prior = priors.Diffusion(SMALL, rows=120_000, batch_size=128, learning_rate=3e-3)
    model = LatentDiffusion(code_size=2, prior=prior, likelihood=likelihoods.Gaussian(0.1), random_state=0)
    model.set_params(training=QUICK.set_params(epochs=100)).fit(X, labels=kind)
    fresh = two_moons(1600)[0][800:]
    made = model.sample(800, random_state=0)
    rng = np.random.default_rng(0)
    gaussian = rng.multivariate_normal(fresh.mean(0), np.cov(fresh.T), 800)
    assert distance(made, fresh) < 0.5 * distance(gaussian, fresh)
    upper = model.sample(200, where="label = 0", random_state=0)
    assert distance(upper, X[kind == 0]) < 0.3 * distance(upper, X[kind == 1])
    assert model.transform(X[:5]).shape == (5, 2)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(
        narrows.load(tmp_path / "model").sample(4, random_state=0), model.sample(4, random_state=0)
    )


def captioned(n: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Squares of 8 × 8 pixels in words: how bright, how large, where. A small dim one at the left is never seen."""
    rng = np.random.default_rng(seed)
    images, captions = rng.integers(0, 20, size=(n, 8, 8), dtype=np.uint8), []
    for image in images:
        bright, large, right = rng.integers(0, 2, 3)
        right = max(right, int(not bright and not large))
        side, left = 3 + large, 4 * right
        image[2 : 2 + side, left : left + side] = (220 if bright else 110) + rng.integers(-15, 15)
        words = ("dim", "bright")[bright], ("small", "large")[large], ("left", "right")[right]
        captions.append("A {} {} square at the {}.".format(*words))
    return images, captions


def as_told(images: np.ndarray, prompt: str) -> float:
    """The share of images that show what a prompt says, by what is known of the squares."""
    brightest = np.sort(images.reshape(len(images), -1), axis=1)[:, -9:].mean(1)
    lit = images > 60
    right = lit[:, :, 4:].sum((1, 2)) > lit[:, :, :4].sum((1, 2))
    large = lit.sum((1, 2)) > 12
    agree = (brightest > 165) == ("bright" in prompt)
    return float((agree & (right == ("right" in prompt)) & (large == ("large" in prompt))).mean())


@pytest.mark.slow
def test_images_show_what_a_prompt_says_even_what_was_never_seen_together(tmp_path):
    images, captions = captioned(400, 0)
    training = Training(epochs=60, batch_size=50, learning_rate=3e-3, validation=0.0)
    model = Diffusion(networks.UNet(channels=(16, 32)), guidance=2.0, training=training, random_state=0)
    model.fit(images, captions=captions)
    for prompt, least in (
        ("a bright large square at the right", 0.7),
        ("a dim large square at the left", 0.7),
        ("a small dim square at the left", 0.4),  # by chance 1 in 8
    ):
        assert as_told(model.sample(20, prompt=prompt, random_state=0), prompt) >= least, prompt
    with pytest.raises(InvalidParameter, match=r"'huge'.*bright"):
        model.sample(2, prompt="a huge square")
    with pytest.raises(InvalidParameter, match="label"):
        model.sample(2, where="label = 'bright'")
    with pytest.raises(InvalidData, match="3 entries for 400"):
        model.fit(images, captions=captions[:3])
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(
        narrows.load(tmp_path / "model").sample(2, prompt="bright", random_state=0),
        model.sample(2, prompt="bright", random_state=0),
    )


def test_latent_diffusion_hears_captions_too():
    X, kind = two_moons(300)
    words = np.where(kind == 0, "the upper arc", "the lower arc").tolist()
    prior = priors.Diffusion(SMALL, rows=60_000, batch_size=64, learning_rate=3e-3)
    model = LatentDiffusion(2, prior=prior, likelihood=likelihoods.Gaussian(0.1), training=QUICK, random_state=0)
    made = model.fit(X, captions=words).sample(100, prompt="upper arc", random_state=0)
    assert distance(made, X[kind == 0]) < 0.3 * distance(made, X[kind == 1])
    with pytest.raises(InvalidParameter, match="captions"):
        LatentDiffusion(2, prior=prior, training=Training(epochs=1)).fit(X).sample(2, prompt="upper")


@pytest.mark.slow
def test_a_synthesizer_draws_codes_by_diffusion_under_conditions(tmp_path):
    frame, _ = table(600)
    prior = priors.Diffusion(SMALL, rows=60_000, batch_size=64, learning_rate=3e-3)
    training = QUICK.set_params(epochs=120)
    vae = narrows.VariationalAutoencoder(4, beta=0.02, prior=prior, training=training)
    model = narrows.Synthesizer(vae, random_state=0)
    made = model.fit(frame).sample(600, random_state=0)
    assert isinstance(model.model_.module_.prior, priors.DiffusionPriorModule)
    numbers = frame[["x", "y"]].to_numpy()
    gaussian = np.random.default_rng(0).multivariate_normal(numbers.mean(0), np.cov(numbers.T), 600)
    assert distance(made[["x", "y"]].to_numpy(), numbers) < 0.5 * distance(gaussian, numbers)
    assert (made.only.notna() == (made.arc == "upper")).mean() > 0.9
    narrow = model.sample(40, where="x > 1.7 AND arc = 'lower'", random_state=0)  # few enough to be walked to
    assert (narrow.x > 1.7).all()
    assert narrow.y.nunique() > 20
    assert (model.sample(50, balance="arc", random_state=0).arc == "upper").sum() == 25
    model.save(tmp_path / "made")
    pd.testing.assert_frame_equal(
        narrows.load(tmp_path / "made").sample(5, random_state=1), model.sample(5, random_state=1)
    )


@pytest.mark.parametrize("kind", [np.int64, np.float32], ids=["whole", "single"])
def test_known_cells_of_an_array_come_back_to_the_bit_and_of_their_type(kind):
    X = np.random.default_rng(0).integers(0, 9, size=(30, 3)).astype(kind)
    model = Diffusion(SMALL, training=Training(epochs=1), random_state=0).fit(X)
    known = np.arange(12).reshape(4, 3) % 2 == 0
    given = X[:4] + kind(2**60 if kind is np.int64 else 0.1)  # a whole number that float64 does not hold
    made = model.sample(like=given, known=known, random_state=0)
    assert made.dtype == kind
    assert np.array_equal(made[known], given[known])
    if kind is np.float32:
        given[0, 0] = np.nan  # said to be known, and blank: filled in
        assert np.isfinite(model.sample(like=given, known=known, random_state=0)).all()


def test_images_in_files_are_completed(pictures, tmp_path):
    images, model = pictures
    files = [str(tmp_path / f"{i}.png") for i in range(2)]
    for file, image in zip(files, images, strict=False):
        Image.fromarray(image).save(file)
    known = np.zeros((2, 9, 8), dtype=bool)
    known[:, :5] = True
    for like in (files, str(tmp_path)):
        made = model.sample(like=like, known=known, random_state=0)
        assert np.array_equal(made, model.sample(like=images[:2], known=known, random_state=0))
