"""ONNX export says the same as the model, whatever the number of rows."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import narrows
from narrows import Training, networks
from narrows.errors import MissingExtra

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs narrows[onnx]"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 5))
    X[rng.random(X.shape) < 0.2] = np.nan
    return X


def run(path, **inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


@pytest.mark.parametrize(
    ("network", "data"),
    [
        (networks.Dense(), table()),
        (networks.Conv(channels=(4, 8)), np.random.default_rng(1).random((60, 17, 13)).astype(np.float32)),
    ],
    ids=["table with blanks", "odd images"],
)
def test_parity(tmp_path, network, data):
    model = narrows.VariationalAutoencoder(3, network=network, training=Training(epochs=2), random_state=0).fit(data)
    folder = model.to_onnx(tmp_path / "onnx")
    for n in (1, 7):
        rows = model.format_.to_rows(data[:n])
        inputs = {"values": rows.values.numpy()}
        if rows.observed is not None:
            inputs["observed"] = rows.observed.numpy()
        codes = run(folder / "encoder.onnx", **inputs)
        np.testing.assert_allclose(codes, model.transform(data[:n]), rtol=1e-4, atol=1e-5)
        values = run(folder / "decoder.onnx", code=codes)
        assert values.shape == rows.values.shape
        import torch

        np.testing.assert_allclose(
            values, narrows.tasks.decode(model.module_, torch.from_numpy(codes)).numpy(), rtol=1e-4, atol=1e-5
        )


def test_without_onnx(tmp_path, monkeypatch):
    from narrows.estimators import _onnx

    model = narrows.Autoencoder(1, training=Training(epochs=1)).fit(table())
    monkeypatch.setattr(_onnx, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"narrows\[onnx\]"):
        model.to_onnx(tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()
