"""Autoencoders whose codes, taken together, look like draws from a prior."""

from __future__ import annotations

from typing import Annotated, Any, Literal, final

from narrows import bottlenecks, penalties, priors
from narrows._part import Interval, Part
from narrows.bottlenecks import Bottleneck
from narrows.estimators._choose import Choices
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators.autoencoder import NotNegative, Size
from narrows.likelihoods import Likelihood
from narrows.networks import Network
from narrows.penalties import Penalties
from narrows.priors import Prior
from narrows.training import Training


@final
class WassersteinAutoencoder(BaseAutoencoder):
    """An autoencoder whose codes match a prior as a whole, so that rows keep codes of their own and it can generate.

    Minimises −E[log p(x|z)] + weight · MMD(q(z), p(z)), where MMD is the maximum mean discrepancy between the codes of
    a batch and draws from the prior.

    Args:
        code_size: Numbers per code.
        weight: Weight of the discrepancy.
        kernel: ``"imq"`` or ``"rbf"``, see `penalties.MMD`.
        stochastic: Whether a row's code is a Gaussian instead of a point.
        prior: What codes look like; None: standard normal.
        network: Makes encoder and decoder.
        likelihood: What the reconstruction is judged by.
        format: How raw data becomes rows.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    References:
        Tolstikhin, Bousquet, Gelly, Schölkopf: Wasserstein Auto-Encoders, 2018, https://arxiv.org/abs/1711.01558
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        weight: NotNegative = 10.0,
        kernel: Literal["imq", "rbf"] = "imq",
        stochastic: bool = False,
        prior: Prior | None = None,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.weight = weight
        self.kernel = kernel
        self.stochastic = stochastic
        self.prior = prior
        self.network = network
        self.likelihood = likelihood
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> Choices:
        """The parts that these parameters mean; None where the data should decide."""
        return Choices(
            code_size=self.code_size,
            network=self.network,
            bottleneck=_bottleneck(self.stochastic),
            likelihood=self.likelihood,
            penalties=Penalties(mmd=penalties.MMD(weight=self.weight, kernel=self.kernel)),
            prior=self.prior or priors.StandardNormal(),
            format=self.format,
        )


@final
class AdversarialAutoencoder(BaseAutoencoder):
    """An autoencoder whose codes a critic cannot tell from draws from a prior, so that it can generate.

    Minimises −E[log p(x|z)] − weight · E[log(1 − D(z))], where the critic D learns beside it to tell codes from draws.

    Args:
        code_size: Numbers per code.
        weight: Weight of the critic's verdict.
        widths: Hidden widths of the critic.
        stochastic: Whether a row's code is a Gaussian instead of a point.
        prior: What codes look like; None: standard normal.
        network: Makes encoder and decoder.
        likelihood: What the reconstruction is judged by.
        format: How raw data becomes rows.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    References:
        Makhzani, Shlens, Jaitly, Goodfellow, Frey: Adversarial Autoencoders, 2015, https://arxiv.org/abs/1511.05644
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        weight: NotNegative = 10.0,
        widths: tuple[Annotated[int, Interval(1)], ...] = (128, 128),
        stochastic: bool = False,
        prior: Prior | None = None,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.weight = weight
        self.widths = widths
        self.stochastic = stochastic
        self.prior = prior
        self.network = network
        self.likelihood = likelihood
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> Choices:
        """The parts that these parameters mean; None where the data should decide."""
        return Choices(
            code_size=self.code_size,
            network=self.network,
            bottleneck=_bottleneck(self.stochastic),
            likelihood=self.likelihood,
            penalties=Penalties(adversarial=penalties.Adversarial(weight=self.weight, widths=self.widths)),
            prior=self.prior or priors.StandardNormal(),
            format=self.format,
        )


def _bottleneck(stochastic: bool) -> Bottleneck:
    return bottlenecks.Gaussian() if stochastic else bottlenecks.Plain()
