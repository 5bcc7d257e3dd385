"""The demonstration of vanishing gradients demonstrates it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def example():
    path = Path(__file__).parents[2] / "examples" / "vanishing_gradients.py"
    spec = importlib.util.spec_from_file_location("vanishing_gradients", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gradients_vanish_without_gates_and_pass_through_open_ones(example, seed):
    found = {name: example.measure(network, seed) for name, network in example.networks().items()}
    share = {name: sizes[0] / sizes[-1] for name, sizes in found.items()}
    plain, usual, *opened = share
    assert share[plain] < 1e-8
    assert share[plain] * 100 < share[usual] < 0.01
    assert all(share[name] > 0.05 for name in opened)
    # without gates it falls by about the same factor at every step
    sizes = found[plain]
    assert sizes[0] < 1e-2 * sizes[25] < 1e-4 * sizes[50] < 1e-6 * sizes[75]


def test_the_figure_has_a_line_per_network(example, tmp_path, monkeypatch, capsys):
    out = tmp_path / "gradients.png"
    monkeypatch.setattr("sys.argv", ["vanishing_gradients.py", "--out", str(out)])
    example.main()
    assert out.read_bytes()[1:4] == b"PNG"
    assert out.stat().st_size > 10_000
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("RNN, no gates: 100 steps ago")
