"""``narrows answer``: a question about a text, answered by a pretrained model."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from narrows.cli._correct import text
from narrows.cli._group import say
from narrows.cli._output import Output


@dataclass(frozen=True)
class Request:
    """What ``narrows answer`` was asked for."""

    model: str
    question: str
    context: str
    length: int = 64
    revision: str | None = None


def answer(request: Request, output: Output) -> None:
    """Answer a question about a text."""
    from narrows.estimators import QuestionAnswerer

    answerer = QuestionAnswerer.from_pretrained(request.model, revision=request.revision)
    found = answerer.answer(request.question, text(request.context), request.length)
    for note in found.notes:
        say(f"note: {note}")
    does = "marks answers in a text" if answerer.kind == "reader" else "writes answers, which need not be true"
    if not output.silent:
        say(f"note: {request.model} {does}; it gives this one a probability of {found.score:.2g}")
    output.result({**asdict(found), "kind": answerer.kind}, found.text)
