"""``narrows fit --code-sizes``: several code sizes at once, and which is enough."""

from __future__ import annotations

from typing import Any

from narrows.cli import _words
from narrows.cli._output import Output
from narrows.errors import InvalidParameter


def check(request: Any) -> None:
    """Refuse what is wrong with the sizes before anything is read.

    Raises:
        InvalidParameter: If they are no different whole numbers, or one size was asked for besides.
    """
    if request.code_sizes is None:
        return
    sizes(request.code_sizes)
    if request.wishes.code_size is not None:
        raise InvalidParameter("give --code-size for one size or --code-sizes for several, not both")


def sizes(text: str) -> list[int]:
    """``2,4,8`` as whole numbers, the smallest first.

    Raises:
        InvalidParameter: If they are none.
    """
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise InvalidParameter(f"--code-sizes {text!r}: write whole numbers of at least 1, such as 2,4,8,16")
    if len(set(found)) < len(found):
        raise InvalidParameter(f"--code-sizes {text!r} names a size twice: write each once")
    return sorted(found)


def fit(request: Any, material: Any, training: Any, output: Output) -> tuple[Any, Any]:
    """Train one model per code size, side by side where they have one shape.

    Args:
        request: What was asked for.
        material: The rows.
        training: Settings of the loop.
        output: Where words go.

    Returns:
        The model of the size that is enough, and the `narrows.evaluate.Elbow` that says why.

    Raises:
        InvalidParameter: If a size is larger than a row.
    """
    from narrows.estimators import Ensemble

    model = _words.build(request.wishes, material.format, training, request.seed)
    wanted = sizes(request.code_sizes)
    format_, _ = model._open(material.train)
    if wanted[-1] > format_.layout.size:
        raise InvalidParameter(
            f"--code-sizes {request.code_sizes!r}: a row has {format_.layout.size} values, and a code of {wanted[-1]} "
            "numbers would not narrow it: give smaller sizes"
        )
    ensemble = Ensemble(model, n=1, grid={"code_size": wanted}, random_state=request.seed).fit(material.train)
    elbow = _elbow(ensemble, material)
    chosen = next(m for m in ensemble.members_ if m.module_.code_size == elbow.chosen.size)
    _tell(elbow, ensemble, output)
    return chosen, elbow


def _elbow(ensemble: Any, material: Any) -> Any:
    from narrows.data.split import count, take
    from narrows.evaluate import Elbow, compare
    from narrows.plots._style import some
    from narrows.report.run import COMPARED, FITTED

    seen = material.train if material.test is None else material.test
    train = take(material.train, some(FITTED, count(material.train)))
    seen = take(seen, some(COMPARED, count(seen)))
    return Elbow.of([compare(member, train, seen) for member in ensemble.members_])


def _tell(elbow: Any, ensemble: Any, output: Output) -> None:
    output.head("Code sizes")
    rows = [
        (
            f"{bend.size}{' ←' if bend is elbow.chosen else ''}",
            f"{bend.error:.4g}",
            f"{bend.pca:.4g}",
            "–" if bend.ratio is None else f"{bend.ratio:.2f} ×",
            f"{elbow.explained(bend):.1%}",
        )
        for bend in elbow.bends
    ]
    output.table(["numbers", elbow.unit, "PCA's", "relative", "explained"], rows, right=(1, 2, 3, 4))
    trained = [reason for reason in ensemble.reasons_ if " trained " in reason]
    output.points([*elbow.sentences(), *trained])
