"""``narrows write``: a language model goes on from a prompt, word by word before one's eyes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows._saved import MODEL
from narrows.cli._output import Output
from narrows.errors import InvalidParameter

LENGTHS = {"characters": 500, "words": 120}
LENGTH = 200  # tokens of other kinds
HUB = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Request:
    """What ``narrows write`` was asked for."""

    model: str
    prompt: str = ""
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    strategy: str | None = None
    length: int | None = None
    seed: int | None = None
    compare: str | None = None
    out: str | None = None
    revision: str | None = None


def write(request: Request, output: Output) -> None:
    """Write what follows a prompt, once, or once for each of several temperatures.

    Raises:
        InvalidParameter: If options do not go together, or the folder holds another kind of model.
        SavedModelError: If there is no model.
        InvalidData: If a pretrained model cannot be read or reached.
        MissingExtra: If it is one, and the extra "hub" is missing.
    """
    from narrows import files

    chosen = strategies(request)
    if pretrained(request.model):
        from narrows.estimators import PretrainedLanguageModel

        model: Any = PretrainedLanguageModel.from_pretrained(request.model, revision=request.revision)
        length = request.length or LENGTH
    else:
        model = language_model(request.model)
        length = request.length or LENGTHS.get(model.format_.tokeniser.kind, LENGTH)
    seed = _seed(request)
    texts = []
    for name, strategy in chosen:
        pieces = model.stream(request.prompt, length, strategy, seed)
        if len(chosen) > 1:
            output.head(name)
        shown = output.silent or request.out is not None
        texts.append(request.prompt + ("".join(pieces) if shown else _show(request.prompt, pieces)))
    if request.out is not None:
        whole = (
            texts[0] if len(texts) == 1 else "\n\n".join(f"--- {c[0]}\n{t}" for c, t in zip(chosen, texts, strict=True))
        )
        files.write_text(request.out, whole + "\n")
    written = [{"strategy": repr(s), "text": text} for (_, s), text in zip(chosen, texts, strict=True)]
    line = None if request.out is None else f"{len(texts)} text{'s' * (len(texts) != 1)} → {request.out}"
    output.result({"model": request.model, "prompt": request.prompt, "seed": seed, "written": written}, line)


def _show(prompt: str, pieces: Iterable[str]) -> str:
    """Show a text while it is being written; the text without the prompt."""
    written: list[str] = []
    for piece in pieces:
        # what cannot be written at all is found out with the first piece, before anything is shown
        sys.stdout.write(piece if written else prompt + piece)
        sys.stdout.flush()
        written.append(piece)
    if not written:
        sys.stdout.write(prompt)
    sys.stdout.write("\n")
    return "".join(written)


def strategies(request: Request) -> list[tuple[str, Any]]:
    """The strategies that were asked for, with what to call them.

    Raises:
        InvalidParameter: If options do not go together, or mean nothing.
    """
    from narrows.language import Sample, Strategy

    drawn = {"temperature": request.temperature, "top_k": request.top_k, "top_p": request.top_p}
    given = {name: value for name, value in drawn.items() if value is not None}
    if request.strategy is not None:
        if given or request.compare is not None:
            other = "compare" if request.compare is not None else next(iter(given)).replace("_", "-")
            raise InvalidParameter(
                f"--strategy and --{other} say two things: write all in one, as in --strategy sample:temperature=0.5"
            )
        return [(request.strategy, Strategy.parse(request.strategy))]
    if request.compare is not None and request.temperature is not None:
        raise InvalidParameter("--compare names the temperatures: leave --temperature out")
    temperatures = [request.temperature] if request.compare is None else _temperatures(request.compare)
    found = []
    for t in temperatures:
        strategy = Sample(**given | ({} if t is None else {"temperature": t}))  # type: ignore[arg-type]
        strategy.check()
        found.append((f"temperature {strategy.temperature:g}", strategy))
    return found


def _temperatures(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",") if word.strip()] or [float("")]
    except ValueError:
        raise InvalidParameter(f"--compare {text!r}: write temperatures with commas, such as 0.25,0.5,1") from None


def _seed(request: Request) -> int | None:
    """The same for all texts that are compared, so that they differ by temperature alone."""
    if request.seed is not None or request.compare is None:
        return request.seed
    import secrets

    return secrets.randbelow(2**31)


def pretrained(name: str) -> bool:
    """Whether a name is that of a pretrained model: a GGUF file, a folder of transformers, or owner/name on the hub."""
    path = Path(name)
    if name.lower().endswith(".gguf"):
        return True
    if path.exists():
        return (path / "config.json").is_file() and not (path / MODEL).is_file()
    # where the first half is a folder, the second was meant to be one in it
    return HUB.fullmatch(name) is not None and not path.parent.exists()


def language_model(folder: str) -> Any:
    """A saved language model.

    Raises:
        InvalidParameter: If it is another kind of model.
    """
    from narrows._saved import describe

    kind = describe(folder).get("estimator")
    if kind != "LanguageModel":
        raise InvalidParameter(
            f"{folder!r} holds a {kind}, which does not write: fit a text first, narrows fit book.txt"
        )
    from narrows.estimators import load

    return load(folder)


def evaluate(model: Any, source: str, output: Output) -> None:
    """How sure a language model is of a text."""
    import math

    from narrows.data.sources import text_source
    from narrows.evaluate.ngrams import unit

    opened = text_source(source, model.format_.options.column)
    tokens = len(model.format_.read(opened.data))
    unknown = _unknown(model, opened.data)
    nats = -model.score(opened.data)
    per = unit(model.format_.tokeniser.kind)
    rows = [(f"{tokens:,}", f"{math.exp(nats):.4g}", f"{nats:.4f}", f"{nats / math.log(2):.4f}")]
    output.table([f"{per}s", f"perplexity per {per}", "nats", "bits"], rows, right=(0, 1, 2, 3))
    output.points(
        [
            f"as unsure as among {math.exp(nats):.3g} equally likely {per}s at every step, of {model.format_.size:,}",
            *([f"{unknown:.2%} of them were never seen in training, and count as <unk>"] if unknown else []),
        ]
    )
    output.result({"tokens": tokens, "nats": nats, "perplexity": math.exp(nats), "unknown": unknown})


def _unknown(model: Any, corpus: Any) -> float:
    """The share of tokens that were never seen."""
    unknown = model.format_.tokeniser.unknown
    return 0.0 if unknown is None else float((model.format_.read(corpus) == unknown).mean())
