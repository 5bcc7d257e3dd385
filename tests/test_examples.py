"""Every ```python block in README.md, docs/ and docstrings runs, and shows what its comments say.

Blocks of one page run one after the other in one scope, as a reader would type them. A block of a docstring finds the
names of its own module, the rooms, and the small things that examples speak of: ``model``, ``rows``, ``photos/`` …
An expression with a comment like ``# (5, 3)`` must have that value. A page can hide a block from this test by
``<!-- not run: why -->`` on the line above it.
"""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

import narrows
from narrows import bottlenecks, likelihoods, networks, objectives, penalties, priors
from narrows._part import REGISTRY
from narrows._types import Layout, Rows
from narrows.cli import app
from narrows.models import AutoencoderModule

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"(?P<skip><!-- not run: [^\n]*-->\n+)?^(?P<indent> *)```python\n(?P<code>.*?)^ *```", re.S | re.M)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str) -> list[str]:
    return [textwrap.dedent(m["code"]) for m in FENCE.finditer(text) if not m["skip"]]


def docstring_blocks() -> list[Any]:
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                name = module + ("" if isinstance(node, ast.Module) else f".{node.name}")
                found += [pytest.param(module, code, id=name) for code in blocks(ast.get_docstring(node) or "")]
    return found


def run(code: str, scope: dict[str, Any]) -> None:
    """Run a block statement by statement, and hold expressions against the comments behind them."""
    lines = code.splitlines()
    for node in ast.parse(code).body:
        # dataclasses look their annotations up in the scope, which `from __future__ import annotations` makes text
        if not isinstance(node, ast.Expr):
            exec(compile(ast.Module([node], []), "<example>", "exec", dont_inherit=True), scope)
            continue
        value = eval(compile(ast.Expression(node.value), "<example>", "eval", dont_inherit=True), scope)
        comment = lines[node.end_lineno - 1][node.end_col_offset :].strip().removeprefix("#").strip()  # type: ignore[operator]
        try:
            said = eval(comment, {"__builtins__": {}, "array": np.array, "tensor": torch.tensor})
        except Exception:  # words, not a value
            continue
        assert agree(value, said), f"{lines[node.end_lineno - 1]}  gives {value!r}"  # type: ignore[operator]


def agree(value: Any, said: Any) -> bool:
    """Whether a value is what a comment says, to the digits that comments give."""
    if isinstance(said, (str, bool)) or said is None:
        return bool(value == said)
    if isinstance(said, (tuple, list)) and any(not isinstance(x, (int, float)) for x in said):
        return len(value) == len(said) and all(map(agree, value, said))
    return bool(np.allclose(np.asarray(value, dtype=float), np.asarray(said, dtype=float), atol=5e-3))


# --- what examples speak of ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> narrows.Autoencoder:
    X = np.random.default_rng(0).normal(size=(80, 4))
    return narrows.Autoencoder(3, training=narrows.Training(epochs=2), random_state=0).fit(X)


@pytest.fixture(scope="module")
def fitted_images(tiny_images: np.ndarray) -> narrows.Autoencoder:
    return narrows.Autoencoder(3, training=narrows.Training(epochs=2), random_state=0).fit(tiny_images)


def small_pass() -> Any:
    """One forward pass of a small variational autoencoder, as objectives and penalties take it."""
    layout = Layout(shape=(4,))
    parts = (networks.Dense(), bottlenecks.Gaussian(2), likelihoods.Gaussian(), priors.StandardNormal())
    module = AutoencoderModule(layout, *parts)
    rows = Rows(torch.randn(8, 4))
    return module(rows, rows, samples=None, epoch=torch.tensor(1.0))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fitted: narrows.Autoencoder) -> Iterator[dict[str, Any]]:
    """A working folder with the files that examples read, and the names that they use."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("photos").mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(f"photos/{i}.png")
    people = ["age,income,city", *(f"{20 + i % 50},{1000 + 7 * i},{'Bath' if i % 3 else ''}" for i in range(80))]
    for name in ("people.csv", "sales.csv", "their.csv"):
        Path(name).write_text("\n".join(people) + "\n")
    fitted.save("runs/fashion/model")
    fitted.save("runs/fashion")
    X = rng.normal(size=(80, 4))
    yield {
        "np": np,
        "torch": torch,
        "narrows": narrows,
        **{room: importlib.import_module(f"narrows.{room}") for room in narrows._ROOMS},
        "Layout": Layout,
        "Rows": Rows,
        "model": fitted,
        "X": X,
        "X_train": X[:60],
        "X_test": X[60:],
        "train": X[:60],
        "test": X[60:],
        "reconstruction": fitted.reconstruct(X[60:]),
        "codes": fitted.transform(X),
        "labels": rng.integers(0, 3, 80),
        "rows": Rows(torch.randn(8, 4)),
        "layout": Layout(shape=(4,)),
    }
    for key in [key for key, cls in REGISTRY.items() if cls.__module__ in ("__main__", "example")]:
        del REGISTRY[key]  # parts that examples made are not for other tests


# --- the tests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p.read_text(encoding="utf-8"))], ids=lambda p: p.name)
def test_pages(page: Path, tmp_path: Path, desk: dict[str, Any]) -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", narrows.errors.NarrowsWarning)
        for code in blocks(page.read_text(encoding="utf-8")):
            run(code, scope)


@pytest.mark.parametrize(("module", "code"), docstring_blocks())
def test_docstrings(module: str, code: str, desk: dict[str, Any], fitted_images: narrows.Autoencoder) -> None:
    own = {k: v for k, v in vars(importlib.import_module(module)).items() if not k.startswith("__")}
    scope = {**desk, **own, "__name__": "example"}
    # a module's own `likelihoods` may stand for something else than the room; examples speak of rooms
    scope.update({room: desk[room] for room in narrows._ROOMS})
    scope.update(
        {name: getattr(importlib.import_module(f"narrows.{room}"), name) for room, name in BESIDE if name not in own}
    )
    if module == "narrows.data.writers":
        scope["model"] = fitted_images
    if re.search(r"\bp\b", code):
        scope["p"] = small_pass()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", narrows.errors.NarrowsWarning)
        run(code, scope)


BESIDE = [
    ("corruptions", "Corruption"),
    ("penalties", "KL"),
    ("penalties", "Penalties"),
    ("penalties", "Sparsity"),
    ("networks", "Conv"),
    ("networks", "Dense"),
]


def commands() -> list[Any]:
    found = []
    for page in PAGES:
        for block in re.findall(r"^ *```bash\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.S | re.M):
            lines = [
                shlex.split(line, comments=True) for line in block.splitlines() if line.strip().startswith("narrows ")
            ]
            found += [pytest.param(line[1:], id=f"{page.name}: {' '.join(line)}") for line in lines]
    return found


@pytest.mark.parametrize("words", commands())
def test_commands_have_the_options_that_pages_name(words: list[str]) -> None:
    """Parsed to the last word, but not run."""
    command, context, name = typer.main.get_command(app), None, "narrows"
    while True:
        context = command.make_context(name, list(words), parent=context)
        if not hasattr(command, "resolve_command"):
            return
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])


# --- the test of the test ------------------------------------------------------------------------------------


def test_a_wrong_comment_is_found() -> None:
    run("1 + 1  # 2\n[0.5, 1.0]  # [0.50, 1.0]\n'a'  # a letter\nnp.zeros(3).shape  # (3,)", {"np": np})
    for wrong in ("1 + 1  # 3", "np.zeros(3)  # [0, 0, 1]", "'a'  # 'b'", "(1, 2)  # (1, 3)"):
        with pytest.raises(AssertionError):
            run(wrong, {"np": np})


def test_blocks_are_found_unless_hidden() -> None:
    hidden = "<!-- not run: why -->\n```python\nc\n```\n```bash\nd\n```\n"
    text = "```python\na\n```\n\n- x\n\n    ```python\n    b\n    ```\n" + hidden
    assert blocks(text) == ["a\n", "b\n"]


def test_there_is_something_to_run() -> None:
    assert len(docstring_blocks()) > 30
    assert objectives.ELBO in vars(objectives).values()
    assert penalties.KL in vars(penalties).values()
