"""Whether made-up rows lie where real rows lie, and reach everywhere that these do: α-precision and β-recall."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.evaluate._columns import alike, columns, points

LEVELS = np.linspace(0, 1, 31)[1:]


@dataclass(frozen=True)
class Support:
    """How two tables cover each other, each from 0 to 1, 1 being best.

    Attributes:
        precision: 1 − 2 ∫ |P(α) − α| dα, where P(α) is the share of made-up rows within the ball around the real rows'
            centre that holds a share α of these: low where rows are out of place, or all in one.
        recall: The same of R(β), the share of real rows whose nearest made-up row, of the innermost β of these nearest
            rows, is no farther off than their nearest real one: low where some kind of row is never made up. Fresh real
            rows score about ½, since either is as likely to be the nearer; copies score 1.
    """

    precision: float
    recall: float

    def to_dict(self) -> dict[str, float]:
        """The measures as plain JSON."""
        return asdict(self)


def support(real: Any, made: Any) -> Support:
    """Measure α-precision and β-recall.

    Distances are Euclidean: numbers in units of the real rows' standard deviation, a blank or a different category 1
    apart. No network embeds the rows first: as in the measures' reference program, its "naive" variant.

    Args:
        real: A table of at least two rows.
        made: A table of the same columns.

    Returns:
        Both measures.

    References:
        Alaa, van Breugel, Saveliev, van der Schaar: How Faithful is your Synthetic Data? Sample-level Metrics for
        Evaluating and Auditing Generative Models, 2022, https://arxiv.org/abs/2102.08921
    """
    from sklearn.neighbors import NearestNeighbors

    a, b = points(*alike(columns(real), columns(made)))
    centre = a.mean(0)
    within = _from(a, centre)
    precision = [(_from(b, centre) <= radius).mean() for radius in np.quantile(within, LEVELS)]

    own = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(a).kneighbors(a)[0][:, 1]
    distance, nearest = (x[:, 0] for x in NearestNeighbors(n_neighbors=1, algorithm="brute").fit(b).kneighbors(a))
    # rounding makes equal rows a little apart
    covered = distance <= own + 1e-5
    depth = _from(b[nearest], b.mean(0))
    recall = [(covered & (depth <= radius)).mean() for radius in np.quantile(depth, LEVELS)]
    return Support(_agreement(precision), _agreement(recall))


def _from(rows: NDArray[np.float32], centre: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.linalg.norm(rows.astype(np.float64) - centre, axis=1)


def _agreement(shares: list[Any]) -> float:
    """1 where every level has its share, 0 where none has any."""
    return float(1 - np.abs(LEVELS - np.array(shares)).sum() / LEVELS.sum())
