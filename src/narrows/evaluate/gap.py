"""The gap between the prior and the codes that rows have: how far samples begin from where the decoder was trained."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows.errors import InvalidData
from narrows.evaluate.intervals import Estimate, bootstrap
from narrows.evaluate.metrics import Floats, to_array

COMPONENTS = 10  # of the density that codes are judged by, at most
SMALL = 0.5  # nats that do not show in samples


@dataclass(frozen=True)
class PriorGap:
    r"""KL divergence of the aggregate posterior $q(z) = E_x[q(z|x)]$ from the prior, in nats per row, between bounds.

    Attributes:
        least: A lower bound, with its 95 % interval: a density fitted to half of the codes, judged on the others.
        most: An upper bound: the rows' own posteriors taken for all there are; None where codes are not random.
        rows: How many rows were looked at.
    """

    least: Estimate
    most: Estimate | None
    rows: int

    def sentence(self) -> str:
        """The gap in plain words."""
        low = max(self.least.value, 0.0)
        if self.most is None:
            size = f"at least {low:.1f} nats per row"
        elif self.most.value - low < 0.1:
            size = f"about {max(self.most.value, 0):.1f} nats per row"
        else:
            size = f"between {low:.1f} and {max(self.most.value, 0):.1f} nats per row"
        if self.least.low > SMALL:
            return (
                f"The prior misses the codes of {self.rows:,} rows by {size}: part of what is drawn from it lies where "
                "no row's code lies, and the decoder never learnt to decode. A prior that fits (priors.Mixture, "
                "priors.Flow) would make better samples."
            )
        return f"The prior fits the codes of {self.rows:,} rows as far as they can tell: it misses them by {size}."

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as plain JSON."""
        return {
            "least": self.least._asdict(),
            "most": None if self.most is None else self.most._asdict(),
            "rows": self.rows,
            "sentence": self.sentence(),
        }


def prior_gap(codes: Any, log_prior: Any, log_pairs: Any = None, *, seed: int = 0) -> PriorGap:
    r"""How far the prior is from the codes that rows have, all taken together.

    $KL(q(z) \| p(z)) = E_{q(z)}[\log q(z) - \log p(z)]$ with $q(z) = E_x[q(z|x)]$: what the evidence lower bound loses
    since the prior does not fit, whatever encoder and decoder do. $\log q(z)$ is not known, but bounded: from below on
    average by any other density, here a mixture of Gaussians fitted to half of the codes (of four the one of the best
    BIC) and judged on the other half;
    from above by the mean of the rows' own posteriors, a row's own among them.

    Args:
        codes: ``(n, L)`` one draw from q(z|x) per row, held out of training; plain codes as they are.
        log_prior: ``(n,)`` log p(z) of each.
        log_pairs: ``(n, n)`` log q(z|x) of each code (down) under each row's posterior (across); None for plain codes.
        seed: For the halves, the fit and the intervals; the caller's generators are not touched.

    Returns:
        Both bounds.

    Raises:
        InvalidData: If the arrays do not go together, are not finite, or hold fewer than 20 rows.

    References:
        Hoffman, Johnson: ELBO surgery, 2016, http://approximateinference.org/2016/accepted/HoffmanJohnson2016.pdf;
        van den Oord, Li, Vinyals: Representation Learning with Contrastive Predictive Coding, 2018,
        https://arxiv.org/abs/1807.03748 (the bound from above)
    """
    z, prior = to_array(codes), to_array(log_prior)
    pairs = None if log_pairs is None else to_array(log_pairs)
    n = len(z)
    if z.ndim != 2 or prior.shape != (n,) or (pairs is not None and pairs.shape != (n, n)):
        shapes = [z.shape, prior.shape, *([] if pairs is None else [pairs.shape])]
        raise InvalidData(f"arrays of shapes {shapes} do not go together: give (n, L), (n,) and (n, n)")
    if n < 20:
        raise InvalidData(f"{n} codes are too few to judge a prior by: give 20 or more")
    if not (np.isfinite(z).all() and np.isfinite(prior).all()):
        raise InvalidData("codes or their density under the prior are not all finite: the model has diverged")
    least = bootstrap(np.mean, _density(z, seed) - prior, seed=seed)
    most = None
    if pairs is not None:
        top = pairs.max(axis=1)
        most = bootstrap(np.mean, top + np.log(np.exp(pairs - top[:, None]).mean(axis=1)) - prior, seed=seed)
    return PriorGap(least, most, n)


def _density(z: Floats, seed: int) -> Floats:
    """``(n,)`` log-density of every code by a mixture fitted to the half that it is not in."""
    from sklearn.mixture import GaussianMixture

    centre, spread = z.mean(axis=0), z.std(axis=0)
    spread = np.where(spread > 1e-9 * np.maximum(np.abs(z).max(axis=0), 1), spread, 1.0)
    scaled, size = (z - centre) / spread, z.shape[1]
    halves = np.array_split(np.random.default_rng(seed).permutation(len(z)), 2)
    found = np.empty(len(z))
    for fitted, judged in (halves, halves[::-1]):
        several = int(np.clip(len(fitted) // (5 * (size + 1)), 1, COMPONENTS))
        kinds = ("full", "diag") if len(fitted) > 2 * size else ("diag",)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it stopped after 100 rounds is no reason to bother anybody
            mixtures = [
                GaussianMixture(k, covariance_type=kind, reg_covar=1e-4, random_state=seed).fit(scaled[fitted])
                for kind in kinds
                for k in sorted({1, several})
            ]
        # by the half that they were fitted to: the other half must not choose
        best = min(mixtures, key=lambda mixture: mixture.bic(scaled[fitted]))
        found[judged] = best.score_samples(scaled[judged])
    return found - np.log(spread).sum()
