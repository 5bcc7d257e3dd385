"""Whether made-up rows were copied: how close they are to training rows, beside how close other real rows are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from narrows.evaluate._columns import Columns, alike, columns, points

QUERIES = 5_000  # made-up and held-out rows whose neighbours are looked for
REFERENCES = 50_000  # training rows they are looked for among
CLOSE = 0.05  # quantile of the held-out rows' distances that counts as close
SURE = 3.0  # standard errors


@dataclass(frozen=True)
class Copying:
    """The copying check.

    Attributes:
        exact: Share of made-up rows that are, cell by cell, a training row.
        exact_real: Share of held-out real rows that are: duplicates that the data has anyway.
        copies: How many made-up rows are exact copies.
        distance: Median distance of made-up rows to the closest training row.
        distance_real: That of held-out real rows.
        close: Share of made-up rows closer to a training row than all but 5 % of held-out real rows are.
        close_real: That share of held-out rows themselves: 5 %, or more where many distances are equal.
        rows: How many made-up rows were checked.
        rows_real: How many held-out rows.
    """

    exact: float
    exact_real: float
    copies: int
    distance: float
    distance_real: float
    close: float
    close_real: float
    rows: int
    rows_real: int

    @property
    def memorised(self) -> bool:
        """Whether more rows than chance explains are copies, or close to training rows."""
        return self._beyond(self.exact, self.exact_real) or self._beyond(self.close, 1.5 * self.close_real)

    def _beyond(self, share: float, limit: float) -> bool:
        # the standard error of a difference of shares; one row more keeps it above 0
        spread = np.sqrt(max(limit, 1 / self.rows_real) * (1 / self.rows + 1 / self.rows_real))
        return bool(share > limit + SURE * spread)

    def sentences(self) -> list[str]:
        """The check in plain words."""
        lines = [
            f"{self.copies:,} of them ({self.exact:.2%}) are exact copies of training rows; of real rows that were "
            f"held out {self.exact_real:.2%} are.",
            f"Their median distance to the closest training row is {self.distance:.3g}, that of held-out real rows "
            f"{self.distance_real:.3g}; {self.close:.1%} are closer than nearly all held-out rows "
            f"(expected: {self.close_real:.1%}).",
        ]
        if self.memorised:
            lines.append(
                "WARNING: some rows look memorised: they repeat rows of the training data more closely than other real "
                "rows do. Do not treat them as anonymous; train on more rows, with a smaller code, or for fewer epochs."
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The check as plain JSON."""
        return {**asdict(self), "memorised": self.memorised}


def copying(train: Any, made: Any, held_out: Any, seed: int = 0) -> Copying:
    """Check whether made-up rows are copies of training rows.

    Distances are Euclidean: numbers in units of the training rows' standard deviation, a blank or a different category
    1 apart.

    Args:
        train: The rows that the generator was trained on.
        made: The rows that it made up.
        held_out: Real rows that it has not seen.
        seed: For the choice of rows where there are more than 5,000 (50,000 training rows).

    Returns:
        The check.

    Reference:
        Distance to closest record as in Mixed-Type Tabular Data Synthesis with Score-based Diffusion in Latent Space,
        Zhang et al., 2024, https://openreview.net/forum?id=4Ay23yeuz0
    """
    from sklearn.neighbors import NearestNeighbors

    a, b, c = alike(columns(train), columns(made), columns(held_out))
    known = set(_keys(a))
    same, same_real = (np.array([k in known for k in _keys(t)]) for t in (b, c))
    rng = np.random.default_rng(seed)
    parts = [_some(t, most, rng) for t, most in ((a, REFERENCES), (b, QUERIES), (c, QUERIES))]
    places = points(*parts)
    index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(places[0])
    near, near_real = (index.kneighbors(p)[0][:, 0] for p in places[1:])
    # rounding makes equal rows a little apart
    near, near_real = np.where(near < 1e-5, 0.0, near), np.where(near_real < 1e-5, 0.0, near_real)
    limit = float(np.quantile(near_real, CLOSE))
    return Copying(
        exact=float(same.mean()),
        exact_real=float(same_real.mean()),
        copies=int(same.sum()),
        distance=float(np.median(near)),
        distance_real=float(np.median(near_real)),
        close=float((near <= limit).mean()),
        close_real=float((near_real <= limit).mean()),
        rows=len(near),
        rows_real=len(near_real),
    )


def _keys(table: Columns) -> list[tuple[Any, ...]]:
    parts = [
        [None if np.isnan(v) else v for v in cells.tolist()] if cells.dtype.kind == "f" else cells.tolist()
        for cells in table.cells.values()
    ]
    return list(zip(*parts, strict=True))


def _some(table: Columns, most: int, rng: np.random.Generator) -> Columns:
    return table if table.rows <= most else table.take(rng.choice(table.rows, most, replace=False))
