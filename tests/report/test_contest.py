"""Several models side by side: the measures, failures, the page."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

import narrows
from narrows import plots, report
from narrows._types import Layout
from narrows.data import Image, Table
from narrows.errors import InvalidData
from narrows.report._contest import Measure, _shrunk
from narrows.tasks.judge import train_judge
from narrows.training import Training

from .test_report import Page


class Given:
    """Stands for a model that makes rows it was given."""

    def __init__(self, rows):
        self.rows = rows
        self.history_ = narrows.training.History()
        self.module_ = torch.nn.Linear(2, 3)

    def fit(self, X, labels=None):
        return self

    def save(self, folder):
        folder.mkdir(parents=True)

    def sample(self, n, random_state=None):
        return self.rows[:n] if isinstance(self.rows, np.ndarray) else self.rows.slice(0, n)


def table(n: int, seed: int, shift: float = 0.0) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n) + shift
    return pa.table({"a": x, "b": 2 * x + 0.1 * rng.normal(size=n), "kind": np.where(x > 0, "big", "small")})


def images(n: int, seed: int, kinds: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Bright bars, standing or lying, at several places."""
    rng = np.random.default_rng(seed)
    label, found = rng.integers(0, kinds, n), np.zeros((n, 12, 12), np.uint8)
    for image, kind, at in zip(found, label, rng.integers(1, 10, n), strict=True):
        (image if kind else image.T)[at : at + 2] = 220
    return found, label


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    def broken():
        raise RuntimeError("no memory for this one")

    folder = tmp_path_factory.mktemp("contest")
    train, held = table(500, 0), table(200, 1)
    models = {
        "good": lambda: Given(table(200, 2)),
        "broken": broken,
        "shifted": lambda: Given(table(200, 3, 1.5)),
        "copier": lambda: Given(train),
    }
    contest = report.contest(models, train, held, Table(), name="t<a>ble", folder=folder / "models", budget=60.0)
    return contest, report.write_contest(contest, folder, "runs/x"), folder


def test_the_best_stands_first_and_the_failed_one_loses_nothing(found):
    contest, _, _ = found
    ranks = [c.name for c in contest.ranked]
    assert ranks[-1] == "shifted"
    assert set(ranks) == {"good", "copier", "shifted"}
    by = {c.name: c for c in contest.contenders}
    assert by["broken"].failed == "RuntimeError: no memory for this one"
    assert by["shifted"].frechet > 5 * by["good"].frechet
    assert by["good"].detection > 0.7 > by["shifted"].detection
    assert by["copier"].copying.memorised
    assert not by["good"].copying.memorised
    assert by["copier"].copying.exact == 1
    said = " ".join(contest.sentences())
    assert "copier: some of its rows look memorised" in said
    assert "broken has no result: RuntimeError" in said


def test_the_page_and_the_numbers(found):
    contest, page, folder = found
    text = page.read_text()
    words = " ".join(" ".join(Page(text).words).split())
    assert "t<a>ble" in words
    assert "no result" in words
    assert "narrows generate runs/x/models/good" in words
    assert words.index("good") < words.index("shifted")
    assert text.count("data:image/png;base64,") == 1
    assert "http" not in text.replace("https://", "").replace("http-equiv", "")
    kept = json.loads((folder / "comparison.json").read_text())
    assert [m["name"] for m in kept["models"]] == ["good", "broken", "shifted", "copier"]
    assert kept["models"][0]["fidelity"]["coverage"] == contest.contenders[0].fidelity.coverage
    assert kept["models"][1]["frechet"] is None
    assert "rows" not in kept["models"][0]


def test_nothing_but_failures_is_an_error():
    def broken():
        raise InvalidData("these rows will not do")

    with pytest.raises(InvalidData, match="no model has a result.*will not do"):
        report.contest({"a": broken}, table(100, 0), table(50, 1), Table())


def test_an_interruption_keeps_what_was_there():
    def stopped():
        raise KeyboardInterrupt

    rows = table(60, 2)
    contest = report.contest(
        {"first": lambda: Given(rows), "second": stopped, "third": lambda: Given(rows)},
        table(100, 0),
        table(60, 1),
        Table(),
    )
    assert [c.name for c in contest.contenders] == ["first", "second"]
    assert contest.contenders[1].failed == "interrupted"
    assert "interrupted" in contest.notes[0]


def test_too_few_held_out_rows():
    with pytest.raises(InvalidData, match="3 rows are held out"):
        Measure(table(100, 0), table(3, 1), Table())


def test_the_density_of_a_flow_is_that_of_held_out_rows():
    rows = np.random.default_rng(0).normal(size=(240, 2))
    training = Training(epochs=2, verbose=False)
    contest = report.contest(
        {"flow": lambda: narrows.Flow(training=training, random_state=0)}, rows[:200], rows[200:], Table(), number=40
    )
    flow = narrows.Flow(training=training, random_state=0).fit(rows[:200])
    assert contest.contenders[0].likelihood == pytest.approx(flow.score_samples(rows[200:]).mean())
    assert contest.contenders[0].epochs == 2


def test_series_are_refused_in_words():
    class Series:
        layout = Layout((20, 3))

        def fit(self, rows):
            return self

    with pytest.raises(InvalidData, match="these are neither"):
        Measure(np.zeros((60, 20, 3)), np.zeros((30, 20, 3)), Series())


# --- images --------------------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    """Bars are soon told apart."""
    monkeypatch.setattr("narrows.tasks.judge.STEPS", 300)


def test_images_are_judged_by_classes_and_by_damage(short):
    train, labels = images(400, 0)
    held, _ = images(100, 1)
    measure = Measure(train, held, Image(), labels)
    assert measure.judge.named
    assert measure.judge.accuracy > 0.9
    assert "the 2 classes of the data" in measure.space
    told = measure.judge.tell(measure.format.to_rows(images(50, 4)[0]))
    assert np.mean([word == str(kind) for word, kind in zip(told, images(50, 4)[1], strict=True)]) > 0.9
    good, noise = images(100, 2)[0], np.random.default_rng(0)
    noisy = np.clip(good + noise.normal(0, 90, good.shape), 0, 255).astype(np.uint8)
    one_kind = images(100, 3, kinds=1)[0]
    found = {name: measure.of(name, rows) for name, rows in {"good": good, "noisy": noisy, "one": one_kind}.items()}
    assert found["good"].frechet < 0.2 * min(found["noisy"].frechet, found["one"].frechet)
    assert found["noisy"].fidelity.precision < 0.5 < found["good"].fidelity.precision
    assert found["one"].fidelity.recall < 0.7 < found["good"].fidelity.recall


def test_without_classes_images_are_sorted_and_seeds_repeat(short):
    train, _ = images(200, 0)
    format_ = Image().fit(train)
    rows = format_.to_rows(train)
    before = torch.random.get_rng_state()
    one, two = (train_judge(rows, format_.layout, seed=4) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert not one.named
    assert len(one.kinds) == 10
    assert "10 kinds found by k-means" in one.sentence()
    np.testing.assert_array_equal(one.features(rows), two.features(rows))
    assert one.accuracy == two.accuracy > 2 * one.chance
    with pytest.raises(InvalidData, match="19 images are too few"):
        train_judge(rows.take(slice(19)), format_.layout)
    with pytest.raises(InvalidData, match="the same"):
        train_judge(rows.take(torch.zeros(40, dtype=torch.long)), format_.layout)


def test_shrunk_images_are_means():
    image = np.arange(20 * 3.0).reshape(1, 20, 3)
    found = _shrunk(image).reshape(10, 3)
    np.testing.assert_allclose(found[0], (image[0, 0] + image[0, 1]) / 2)
    odd = np.ones((2, 17, 5, 3)) * 7
    assert _shrunk(odd).shape == (2, 9 * 5)
    assert (_shrunk(odd) == 7).all()


def test_figures_of_several_models():
    rows = table(50, 0)
    figure = plots.side_by_side({"one": table(40, 1), "two": table(40, 2)}, rows)
    assert [a.get_title(loc="left") for a in figure.axes if a.get_visible()] == ["a", "b", "kind"]
    pictures = images(8, 0)[0]
    figure = plots.side_by_side({"one": pictures[:3], "two": pictures}, pictures)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["real", "one", "two"]
    with pytest.raises(InvalidData, match="no column b"):
        plots.side_by_side({"one": rows.select(["a"])}, rows)
    with pytest.raises(InvalidData, match="no samples"):
        plots.side_by_side({}, rows)
