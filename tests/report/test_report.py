"""The run folder and its page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

import narrows
from narrows import plots, report
from narrows.evaluate import compare
from narrows.training import Training

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects what tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def data(n: int = 120) -> pa.Table:
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    return pa.table(
        {
            "size": x + 0.05 * rng.normal(size=n),
            "weight": pa.array([None if i % 9 == 0 else float(v) for i, v in enumerate(3 * x)]),
            "kind": ["big" if v > 0 else "small" for v in x],
            "<b>tag</b>": rng.normal(size=n),
        }
    )


@pytest.fixture(scope="module")
def model():
    return narrows.Autoencoder(2, training=Training(epochs=10, verbose=False), random_state=0).fit(data())


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    table = data()
    return report.write_run(
        model,
        folder,
        table.slice(0, 100),
        table.slice(100),
        labels=np.array(table["kind"])[:100],
        test_labels=np.array(table["kind"])[100:],
        label_name="kind",
        name="things <script>alert(1)</script>",
        notes=["a note & more"],
        called="runs/things",
    )


def test_everything_is_there_and_nothing_else(run):
    names = {str(p.relative_to(run.folder)) for p in run.folder.rglob("*") if p.is_file()}
    weights = {n for n in names if n.startswith("weights-")}
    assert len(weights) == 1
    assert names - weights == {
        "README.md",
        "comparison.json",
        "figures/codes.png",
        "figures/loss.png",
        "figures/reconstructions.png",
        "figures/samples.png",
        "history.csv",
        "model.json",
        "report.html",
    }
    assert run.problems == []


def test_the_comparison_is_the_one_on_held_out_rows(run, model):
    table = data()
    expected = compare(model, table.slice(0, 100), table.slice(100))
    written = json.loads((run.folder / "comparison.json").read_text())
    assert written["sentence"] == expected.sentence() == run.sentence
    assert written["held_out"] == 20
    kept = json.loads((run.folder / "model.json").read_text())["metrics"]
    assert kept["model_squared_error"] == pytest.approx(expected["model"].squared_error)
    assert kept["PCA_accuracy"] == pytest.approx(expected["PCA"].accuracy)


def test_the_model_loads_and_gives_the_same_codes(run, model):
    loaded = narrows.load(run.folder)
    np.testing.assert_array_equal(loaded.transform(data()), model.transform(data()))


def test_the_page_is_sound_and_needs_nothing_else(run):
    text = (run.folder / "report.html").read_text()
    page = Page(text)
    assert "<script" not in text
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", text)
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert ("html", {"lang": "en"}) in page.tags
    words = " ".join(page.words)
    assert "things <script>alert(1)</script>" in words  # as words, not as a script
    assert "a note & more" in words
    assert "narrows encode runs/things SOURCE" in words


def test_the_honest_line_comes_first(run):
    page = Page((run.folder / "report.html").read_text())
    words = [w.strip() for w in page.words if w.strip()]
    assert words[2] == run.sentence  # after the title and the heading


def test_the_page_can_be_read_by_a_screen_reader(run):
    page = Page((run.folder / "report.html").read_text())
    images = [a for tag, a in page.tags if tag == "img"]
    assert len(images) == 4
    assert all(a["alt"] and a["src"].startswith("data:image/png;base64,") for a in images)
    assert sum(tag == "h1" for tag, _ in page.tags) == 1
    ids = {a["id"] for _, a in page.tags if "id" in a}
    assert {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a} <= ids
    assert all(a.get("scope") in ("row", "col") for tag, a in page.tags if tag == "th")


def test_history_csv_is_the_history(run, model):
    lines = (run.folder / "history.csv").read_text().splitlines()
    assert lines[0].split(",")[:2] == ["epoch", "step"]
    assert len(lines) == len(model.history_) + 1


def test_a_figure_that_fails_does_not_lose_the_model(model, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no ink")

    monkeypatch.setattr(plots, "code_map", broken)
    run = report.write_run(model, tmp_path, data())
    assert run.problems == ["the figure codes.png could not be made: RuntimeError: no ink"]
    assert narrows.load(tmp_path).transform(data()).shape == (120, 2)
    assert not (tmp_path / "figures" / "codes.png").exists()
    assert "no ink" in (tmp_path / "report.html").read_text()


def test_without_held_out_rows_nothing_claims_to_be(model, tmp_path):
    run = report.write_run(model, tmp_path, data())
    assert "Training-row squared error" in run.sentence
    assert "No rows were held out" in run.sentence
    text = (tmp_path / "report.html").read_text()
    assert "Held-out" not in text
    assert "120 training rows" in text


def test_the_page_says_whether_the_prior_fits(model, tmp_path):
    run = report.write_run(model, tmp_path, data())
    assert run.gap.rows == 120
    assert run.gap.sentence() in " ".join(Page((tmp_path / "report.html").read_text("utf-8")).words)
    assert "prior" in report.run.metrics_of(run)


def test_images_from_files_are_shown_as_the_model_sees_them(tmp_path):
    from PIL import Image

    paths = []
    for i in range(24):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(np.full((9, 9, 3), 10 * i, np.uint8)).save(paths[-1])
    model = narrows.Autoencoder(2, training=Training(epochs=2, verbose=False), random_state=0).fit(paths)
    run = report.write_run(model, tmp_path / "run", paths[:20], paths[20:])
    assert run.problems == []
    seen = report.run.as_seen(model, paths[:3])
    assert seen.shape == (3, 9, 9, 3)
    assert seen[2].max() == 20
