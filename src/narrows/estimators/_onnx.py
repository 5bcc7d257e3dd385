"""Encoder and decoder as ONNX files, for programs without Python."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from narrows import files
from narrows._types import Rows
from narrows.errors import MissingExtra
from narrows.estimators._codes import BaseAutoencoder
from narrows.models import AutoencoderModule


class EncoderModule(nn.Module):
    """Values (and what is observed of them) to codes."""

    def __init__(self, module: AutoencoderModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, values: Tensor, observed: Tensor | None = None) -> Tensor:
        """``(B, *shape)`` to ``(B, L)``."""
        return self.module.encode(Rows(values, observed))


class DecoderModule(nn.Module):
    """Codes to expected values."""

    def __init__(self, module: AutoencoderModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, z: Tensor) -> Tensor:
        """``(B, L)`` to ``(B, *shape)``."""
        return self.module.decode(z).mean


def export(model: BaseAutoencoder, folder: Path) -> Path:
    """Write ``encoder.onnx``, ``decoder.onnx`` and ``format.json`` (what raw data was scaled with)."""
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise MissingExtra(f"ONNX export needs {' and '.join(missing)}: pip install 'narrows[onnx]'")
    folder.mkdir(parents=True, exist_ok=True)
    module, layout = model.module_.eval(), model.format_.layout
    device = next(module.parameters()).device
    values = torch.zeros(2, *layout.shape, device=device)
    inputs: tuple[Tensor, ...] = (values,)
    if module.stem.mask:
        inputs = (values, torch.ones_like(values, dtype=torch.bool))
    _write(EncoderModule(module), inputs, ("values", "observed")[: len(inputs)], "code", folder / "encoder.onnx")
    codes = torch.zeros(2, module.code_size, device=device)
    _write(DecoderModule(module), (codes,), ("code",), "values", folder / "decoder.onnx")
    files.write_json(folder / "format.json", model.format_.to_config())
    return folder


def _write(module: nn.Module, inputs: tuple[Tensor, ...], names: tuple[str, ...], output: str, path: Path) -> None:
    rows = torch.export.Dim("rows", min=1)
    with warnings.catch_warnings(), torch.no_grad(), files.atomic(path) as temporary:
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            module.eval(),
            inputs,
            input_names=list(names),
            output_names=[output],
            dynamic_shapes=tuple({0: rows} for _ in inputs),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(str(temporary), external_data=False)
