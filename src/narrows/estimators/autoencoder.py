"""The autoencoders: one where everything can be chosen, and the named ones, which are choices of parts."""

from __future__ import annotations

from typing import Annotated, Any, Literal, final

from narrows import bottlenecks, corruptions, penalties
from narrows._part import Interval, Part
from narrows.bottlenecks import Bottleneck
from narrows.corruptions import Corruption
from narrows.estimators._choose import Choices
from narrows.estimators._codes import BaseAutoencoder
from narrows.likelihoods import Likelihood
from narrows.networks import Network
from narrows.objectives import Objective
from narrows.penalties import Penalties, Penalty
from narrows.priors import Prior
from narrows.training import Training

Size = Annotated[int, Interval(1)] | None
NotNegative = Annotated[float, Interval(0)]


@final
class Autoencoder(BaseAutoencoder):
    """An autoencoder in which every part can be chosen; what is left at None is chosen by the data.

    Args:
        code_size: Numbers per code.
        network: Makes encoder and decoder (`narrows.networks`).
        bottleneck: What the code may be (`narrows.bottlenecks`).
        likelihood: What the reconstruction is judged by (`narrows.likelihoods`).
        corruption: What is done to rows in training (`narrows.corruptions`); None: nothing.
        penalties: Further terms of the objective (`narrows.penalties`); None: the KL divergence when the bottleneck
            is stochastic, else nothing.
        prior: What codes look like (`narrows.priors`); None: standard normal when the bottleneck is stochastic, else a
            mixture fitted to the codes afterwards, as every prior is then that learns.
        objective: What is minimised (`narrows.objectives`).
        format: How raw data becomes rows (`narrows.data`).
        training: Settings of the loop.
        random_state: Whole number for equal runs; None: another run every time.

    Example:
        A convolutional, denoising, variational, sparse autoencoder:

        ```python
        from narrows import Autoencoder, bottlenecks, corruptions, networks, penalties

        model = Autoencoder(
            network=networks.Conv(),
            corruption=corruptions.Gaussian(0.3),
            bottleneck=bottlenecks.Gaussian(),
            penalties=penalties.Penalties(kl=penalties.KL(), sparsity=penalties.L1(weight=0.1)),
        )
        ```
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        network: Network | None = None,
        bottleneck: Bottleneck | None = None,
        likelihood: Likelihood | None = None,
        corruption: Corruption | None = None,
        penalties: Penalties | Penalty | None = None,
        prior: Prior | None = None,
        objective: Objective | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.network = network
        self.bottleneck = bottleneck
        self.likelihood = likelihood
        self.corruption = corruption
        self.penalties = penalties
        self.prior = prior
        self.objective = objective
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> Choices:
        """The parts that these parameters mean; None where the data should decide."""
        params = self.get_params(deep=False)
        return Choices(**{name: params[name] for name in params.keys() - {"training", "random_state"}})


@final
class SparseAutoencoder(BaseAutoencoder):
    """An autoencoder whose code units are mostly silent: each row lights up a few of them.

    Minimises −log p(x|z) + weight · Σⱼ KL(ρ ‖ ρ̂ⱼ), where ρ̂ⱼ is unit j's mean activation; ``kind`` "l1" and "l2"
    take Σⱼ |zⱼ| and Σⱼ zⱼ² per row instead.

    Args:
        code_size: Numbers per code; may exceed the width of the data.
        target: ρ, the mean activation to reach (for ``kind="kl"``).
        weight: Weight of the penalty, in nats.
        kind: ``"kl"`` (codes are sigmoids), ``"l1"`` or ``"l2"``.
        network: Makes encoder and decoder.
        likelihood: What the reconstruction is judged by.
        format: How raw data becomes rows.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    References:
        Ng: Sparse autoencoder, CS294A lecture notes, 2011,
        https://web.stanford.edu/class/cs294a/sparseAutoencoder.pdf
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        target: Annotated[float, Interval(0, 1, open_low=True, open_high=True)] = 0.05,
        weight: NotNegative = 25.0,
        kind: Literal["kl", "l1", "l2"] = "kl",
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.target = target
        self.weight = weight
        self.kind = kind
        self.network = network
        self.likelihood = likelihood
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> Choices:
        """The parts that these parameters mean; None where the data should decide."""
        terms: dict[str, Penalty] = {
            "kl": penalties.Sparsity(target=self.target, weight=self.weight),
            "l1": penalties.L1(weight=self.weight),
            "l2": penalties.L2(weight=self.weight),
        }
        return Choices(
            code_size=self.code_size,
            network=self.network,
            bottleneck=bottlenecks.Plain(activation="sigmoid" if self.kind == "kl" else "linear"),
            likelihood=self.likelihood,
            penalties=Penalties(sparsity=terms[self.kind]),
            format=self.format,
        )


@final
class ContractiveAutoencoder(BaseAutoencoder):
    """An autoencoder whose code hardly moves when the row is nudged.

    Minimises −log p(x|z) + weight · ‖∂z/∂x‖²_F.

    Args:
        code_size: Numbers per code.
        weight: Weight of the penalty.
        samples: Random directions by which the Jacobian is estimated; None: all of them, exactly, which costs as many
            passes as the code has numbers. A few are much faster for images.
        network: Makes encoder and decoder.
        likelihood: What the reconstruction is judged by.
        format: How raw data becomes rows.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    References:
        Rifai, Vincent, Muller, Glorot, Bengio: Contractive Auto-Encoders, 2011,
        https://icml.cc/2011/papers/455_icmlpaper.pdf
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        weight: NotNegative = 0.1,
        samples: Size = None,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.weight = weight
        self.samples = samples
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
            bottleneck=bottlenecks.Plain(activation="sigmoid"),
            likelihood=self.likelihood,
            penalties=Penalties(contraction=penalties.Contraction(weight=self.weight, samples=self.samples)),
            format=self.format,
        )


@final
class DenoisingAutoencoder(BaseAutoencoder):
    """An autoencoder that is shown damaged rows and judged by the whole ones.

    Args:
        code_size: Numbers per code.
        corruption: What is done to rows in training; None: Gaussian noise of scale 0.3 and a tenth of the values
            blanked.
        network: Makes encoder and decoder.
        likelihood: What the reconstruction is judged by.
        format: How raw data becomes rows.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    References:
        Vincent, Larochelle, Bengio, Manzagol: Extracting and Composing Robust Features with Denoising Autoencoders,
        2008, https://doi.org/10.1145/1390156.1390294
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        corruption: Corruption | None = None,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.corruption = corruption
        self.network = network
        self.likelihood = likelihood
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> Choices:
        """The parts that these parameters mean; None where the data should decide."""
        default = corruptions.Chain((corruptions.Gaussian(0.3), corruptions.Masking(0.1)))
        return Choices(
            code_size=self.code_size,
            network=self.network,
            likelihood=self.likelihood,
            corruption=self.corruption or default,
            format=self.format,
        )


@final
class VariationalAutoencoder(BaseAutoencoder):
    """An autoencoder whose code is a distribution close to a prior, so that it can generate.

    Minimises −E[log p(x|z)] + β · KL(q(z|x) ‖ p(z)): at β = 1 the negative evidence lower bound.

    Args:
        code_size: Numbers per code.
        beta: Weight of the KL divergence.
        warmup: Epochs over which β grows from 0.
        free_bits: Nats per code unit that cost nothing.
        covariance: ``"diagonal"`` or ``"full"`` covariance of the posterior.
        prior: What codes look like (`narrows.priors`): learnt with the model, or fitted to the codes afterwards; None:
            standard normal.
        network: Makes encoder and decoder.
        likelihood: What the reconstruction is judged by.
        format: How raw data becomes rows.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    References:
        Kingma, Welling: Auto-Encoding Variational Bayes, 2014, https://arxiv.org/abs/1312.6114;
        Higgins et al.: beta-VAE, 2017, https://openreview.net/forum?id=Sy2fzU9gl
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        beta: NotNegative = 1.0,
        warmup: NotNegative = 0.0,
        free_bits: NotNegative = 0.0,
        covariance: Literal["diagonal", "full"] = "diagonal",
        prior: Prior | None = None,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.beta = beta
        self.warmup = warmup
        self.free_bits = free_bits
        self.covariance = covariance
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
            bottleneck=bottlenecks.Gaussian(covariance=self.covariance),
            likelihood=self.likelihood,
            penalties=Penalties(kl=penalties.KL(weight=self.beta, warmup=self.warmup, free_bits=self.free_bits)),
            prior=self.prior,
            format=self.format,
        )
