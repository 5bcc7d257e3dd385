"""Whether made rows look real and reach all kinds of real ones: precision, recall, coverage, Fréchet distance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidData

NEIGHBOURS = 5
NEAR = 0.05  # share of real rows whose nearest neighbours count as nearly the same


@dataclass(frozen=True)
class Fidelity:
    """How two sets of points cover each other, by balls around each point that hold its k nearest of the same set.

    Attributes:
        precision: Share of made points in some real point's ball: low where rows are out of place.
        recall: Share of real points in some made point's ball: low where some kind of row is never made. One made point
            far out, whose ball is large, can raise it by itself.
        density: In how many real points' balls a made point lies, over k: above 1 where made points crowd together.
        coverage: Share of real points whose ball holds a made point. Points like the real ones reach about 1 − 2⁻ᵏ.
        duplicates: Share of made points that have another made one nearer than all but 5 % of real points have another
            real one: far above ``duplicates_real`` where the same is made again and again.
        duplicates_real: That share of real points: 5 %, or more where real points are equal.
        k: Neighbours.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    duplicates: float
    duplicates_real: float
    k: int

    def to_dict(self) -> dict[str, Any]:
        """The measures as plain JSON."""
        return asdict(self)

    @property
    def expected(self) -> float:
        """The coverage of points like the real ones."""
        return 1 - 0.5**self.k

    def sentences(self) -> list[str]:
        """The measures in plain words."""
        return [
            f"{self.precision:.0%} of them lie where real rows lie, and they reach {self.coverage:.0%} of the real "
            f"rows (rows like the real ones would reach about {self.expected:.0%}); recall {self.recall:.0%}.",
            f"{self.duplicates:.0%} of them nearly repeat another; of real rows {self.duplicates_real:.0%} do.",
        ]


def fidelity(real: Any, made: Any, k: int = NEIGHBOURS) -> Fidelity:
    """Precision, recall, density, coverage and near-duplicates of made points.

    Args:
        real: ``(n, …)`` numbers, flattened to points; Euclidean distances between them should mean something.
        made: ``(m, …)`` likewise; as many as real ones, for coverage to have its expected value.
        k: Neighbours; fewer where there are not so many points.

    Raises:
        InvalidData: If there are fewer than two points of either, or they are of different sizes.

    References:
        Kynkäänniemi, Karras, Laine, Lehtinen, Aila: Improved Precision and Recall Metric for Assessing Generative
        Models, 2019, https://arxiv.org/abs/1904.06991;
        Naeem, Oh, Uh, Choi, Yoo: Reliable Fidelity and Diversity Metrics for Generative Models, 2020,
        https://arxiv.org/abs/2002.09797
    """
    wide = _points(real, made)
    # distances of points far from zero would be lost in rounding
    a, b = ((x - wide[0].mean(0)).astype(np.float32) for x in wide)
    k = min(k, len(a) - 1, len(b) - 1)
    near_a, near_b = _nearest(a, k), _nearest(b, k)
    apart = _distances(a, b)
    in_real, in_made = apart <= near_a[:, -1:], apart <= near_b[:, -1]
    limit = float(np.quantile(near_a[:, 0], NEAR)) + 1e-4 * float(a.std() + 1e-12)
    return Fidelity(
        precision=float(in_real.any(0).mean()),
        recall=float(in_made.any(1).mean()),
        density=float(in_real.sum(0).mean() / k),
        coverage=float(in_real.any(1).mean()),
        duplicates=float((near_b[:, 0] <= limit).mean()),
        duplicates_real=float((near_a[:, 0] <= limit).mean()),
        k=k,
    )


def frechet(real: Any, made: Any) -> float:
    """The Fréchet distance of two sets of points, each taken for a Gaussian.

    ‖μ − μ'‖² + tr(Σ + Σ' − 2 (Σ Σ')^½), in squared units of the points. It is 0 for equal means and covariances, and
    of few points it is too large: compare distances of equally many points only.

    Args:
        real: ``(n, …)`` numbers, flattened to points; features of a classifier, for images.
        made: ``(m, …)`` likewise.

    Returns:
        The distance, at least 0.

    Raises:
        InvalidData: If there are fewer than two points of either, or they are of different sizes.

    Reference:
        Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter: GANs Trained by a Two Time-Scale Update Rule Converge to a
        Local Nash Equilibrium, 2017, https://arxiv.org/abs/1706.08500

    Example:
        ```python
        frechet([[0.0], [2.0]], [[3.0], [5.0]])  # 9.0: the means are 3 apart, the variances the same
        ```
    """
    a, b = _points(real, made)
    first, second = (np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]) for x in (a, b))
    # the eigenvalues of Σ Σ' are those of a symmetric matrix, so not negative
    root = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0)).sum()
    return max(0.0, float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * root))


def _points(real: Any, made: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = (np.asarray(x, dtype=np.float64) for x in (real, made))
    if min(a.ndim, b.ndim) < 1 or min(len(a), len(b)) < 2 or a.shape[1:] != b.shape[1:]:
        raise InvalidData(f"points of shapes {a.shape} and {b.shape}: give two or more of each, of one size")
    return a.reshape(len(a), -1), b.reshape(len(b), -1)


def _distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _nearest(x: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """``(n, k)`` distances to the k nearest others, the nearest first."""
    apart = _distances(x, x)
    np.fill_diagonal(apart, np.inf)
    return np.sort(np.partition(apart, k - 1, axis=1)[:, :k], axis=1)
