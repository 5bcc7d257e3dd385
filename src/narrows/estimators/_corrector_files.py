"""A corrector in a folder: its words and letters in plain JSON, all counts and probabilities as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from narrows._part import encode
from narrows._saved import FORMAT_VERSION
from narrows._version import __version__
from narrows.errors import SavedModelError
from narrows.estimators._shared import check_params
from narrows.estimators._store import inside, taken, tensor, write
from narrows.estimators.corrector import LETTERS, Corrector
from narrows.language.channel import TABLES, Channel
from narrows.language.lexicon import Lexicon
from narrows.language.ngrams import SPECIAL, Ngrams


def save(model: Corrector, folder: Path, metrics: Mapping[str, Any] | None) -> Path:
    """Write a fitted corrector into a folder."""
    content = {
        "format_version": FORMAT_VERSION,
        "narrows": __version__,
        "estimator": "Corrector",
        "params": {name: encode(value) for name, value in model.get_params().items()},
        "reasons": list(model.reasons_),
        "words": model.lexicon_.words,
        "letters": model.channel_.letters,
        "error_rate": model.error_rate_,
        "metrics": encode(dict(metrics or {})),
    }
    tensors = {
        "counts": torch.from_numpy(model._counts),
        **inside("channel", model.channel_.tables),
        **inside("language", {name: torch.from_numpy(a) for name, a in model.language_.arrays().items()}),
    }
    return write(folder, tensors, content, _card)


def restored(content: Mapping[str, Any], state: Mapping[str, Tensor]) -> Corrector:
    """The corrector that ``model.json`` and its tensors describe.

    Raises:
        SavedModelError: If something is missing or does not fit.
    """
    made = Corrector(**content["params"])
    check_params(made)
    words, letters = [str(w) for w in content["words"]], str(content["letters"])
    if len(letters) > LETTERS or len(set(letters)) < len(letters):
        raise SavedModelError(f"the letters {letters!r} are more than {LETTERS}, or some are there twice")
    rate = content["error_rate"]
    if not isinstance(rate, (int, float)) or isinstance(rate, bool) or not 0 < rate <= 0.5:
        raise SavedModelError(f"the error rate is {rate!r}, not above 0 and at most 0.5")
    size, tables = len(words) + SPECIAL, taken("channel", state)
    fresh = Channel(letters)
    for name in TABLES:
        tensor(tables, name, *fresh.tables[name].shape, dtype=torch.float64)
    counts = tensor(state, "counts", len(words), dtype=torch.float64).numpy()
    language = Ngrams.restored(size, {n: t.numpy() for n, t in _ngrams(state, size).items()})
    made._set(Lexicon(words), language, Channel(letters, {n: tables[n] for n in TABLES}), counts, float(rate))
    made.reasons_ = [str(r) for r in content["reasons"]]
    return made


def _ngrams(state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """The arrays of the language model, each with its type, and as long as those that go with it.

    Raises:
        SavedModelError: If one is missing or does not fit.
    """
    found = {"one": tensor(state, "language.one", size, dtype=torch.float64)}
    for order in ("three", "two"):
        for keys, values in (("grams", "shares"), ("histories", "left")):
            key = tensor(state, f"language.{order}_{keys}", None, dtype=torch.int64)
            if not bool((key[1:] > key[:-1]).all()):
                raise SavedModelError(f"the tensor 'language.{order}_{keys}' is not in order")
            value = tensor(state, f"language.{order}_{values}", len(key), dtype=torch.float64)
            found |= {f"{order}_{keys}": key, f"{order}_{values}": value}
    return found


def _card(content: Mapping[str, Any]) -> str:
    heading = f"# Corrector\n\nMade by narrows {content['narrows']}. Load it with `narrows.load(folder)`, or mend text"
    reasons = "\n".join(f"- {r}" for r in content["reasons"])
    return (
        f"{heading} with `narrows correct FOLDER TEXT`.\n\n## Why\n\n{reasons}\n\n## Limits\n\nIt knows the words of "
        "the text that it learnt from, takes rare names for misspellings of frequent words, and repeats the text's own "
        "errors.\n"
    )
