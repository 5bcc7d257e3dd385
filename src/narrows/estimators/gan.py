"""Generators that learn from a discriminator or from moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Self, final

from narrows import adversarial, networks
from narrows._part import Interval, Part, Positive
from narrows._types import Layout, Rows
from narrows.adversarial import AdversarialLoss
from narrows.estimators._base import BaseModel
from narrows.estimators._choices import ModelChoices, Plan
from narrows.estimators._choose import ALIGNED, default_network
from narrows.estimators.autoencoder import Size
from narrows.evaluate.fidelity import fidelity
from narrows.models.gan import DiscriminatorStep, GANModule, GeneratorStep, MomentStep, NoiseModule
from narrows.networks import Network
from narrows.training import History, Player, Training
from narrows.training.loop import trainable
from narrows.training.seeds import seeded

FEW = 500  # rows below which a generator may learn them by heart
BETAS = (0.5, 0.99)  # with Adam's usual momentum, generators circle around modes: measured on eight Gaussians
IMAGES = 0.25  # rate of both players on images: at the settings' own, dense networks on digits collapsed
JUDGE = 512  # units of a dense discriminator of images, in two layers
WATCH_SEED = 20_251_121  # the noise of these rows is the same at every epoch, so that epochs can be compared


@dataclass(frozen=True)
class NoiseChoices(ModelChoices):
    """The parts of a model that makes rows of noise; None where the data should decide.

    Attributes:
        code_size: Numbers of noise per row.
        network: Makes the networks.
        format: How raw data becomes rows.
    """

    code_size: int | None = None
    network: Network | None = None
    format: Part | None = None
    likelihood: None = None
    reasons: list[str] = field(default_factory=list)

    PARTS: ClassVar[tuple[str, ...]] = ("network",)
    NEEDED: ClassVar[tuple[str, ...]] = ("network",)

    def resolved(self, format_: Any, layout: Layout, rows: Rows) -> Self:
        """Choices without gaps, and with reasons."""
        reasons: list[str] = []
        size = self.code_size
        if size is None:
            size = min(64, max(8, 2 * layout.size))
            reasons.append(f"{size} numbers of noise per row: twice the {layout.size} values of a row, from 8 to 64")
        # how pixels go together at every place: convolutions make even small images
        network = self.network or steep(default_network(layout, reasons, aligned=0), layout)
        if len(rows) < FEW:
            reasons.append(
                f"{len(rows)} rows are few for this model, which can learn them by heart: look whether it makes copies "
                "(narrows.evaluate.copying), or use an autoencoder, which needs fewer"
            )
        return replace(self, code_size=size, network=network, reasons=reasons)

    def build(self, layout: Layout) -> Any:
        """The module that these parts make, freshly initialised from torch's global generator."""
        assert self.network is not None
        assert self.code_size is not None
        return NoiseModule(layout, self.network, self.code_size)

    def plan(self, module: Any, layout: Layout) -> Plan:
        """How such a module is trained."""
        raise NotImplementedError


@dataclass(frozen=True)
class GANChoices(NoiseChoices):
    """The parts of a GAN.

    Attributes:
        discriminator: Makes the discriminator, where that is not the network's encoder.
        loss: What the networks minimise.
        decay: Of the generator's moving average.
        every: The generator moves at every n-th step, the discriminator at all.
    """

    discriminator: Network | None = None
    loss: AdversarialLoss | None = None
    decay: float = 0.999
    every: int = 1

    PARTS: ClassVar[tuple[str, ...]] = ("network", "discriminator", "loss")
    NEEDED: ClassVar[tuple[str, ...]] = ("network", "loss")

    def resolved(self, format_: Any, layout: Layout, rows: Rows) -> Self:
        """Choices without gaps, and with reasons."""
        full = super().resolved(format_, layout, rows)
        image = len(layout.shape) == 3 and layout.size <= ALIGNED and isinstance(full.network, networks.Conv)
        if self.network is not None or self.discriminator is not None or not image:
            return full
        said = f"dense discriminator: images of {layout.size:,} values, at most {ALIGNED:,}, can be judged as a whole"
        judge = networks.Dense(widths=(JUDGE, JUDGE), activation="relu")
        return replace(full, discriminator=judge, reasons=[*full.reasons, said])

    def build(self, layout: Layout) -> GANModule:
        """Both networks."""
        assert self.network is not None
        assert self.code_size is not None
        return GANModule(layout, self.network, self.code_size, self.decay, self.discriminator)

    def plan(self, module: GANModule, layout: Layout) -> Plan:
        """Two players; watched is whether kinds of rows are missing."""
        assert self.loss is not None
        rate = IMAGES if len(module.layout.shape) == 3 else 1.0
        judge = Player(DiscriminatorStep(module, self.loss), trainable(module.discriminator), 1, BETAS, rate)
        maker = Player(GeneratorStep(module, self.loss), trainable(module.generator), self.every, BETAS, rate)
        return Plan(module, [maker, judge], watcher(module), module.follow, judged=False)

    def describe(self, history: History, module: GANModule) -> None:
        """Losses of a game say little."""
        history.falling, history.unit = False, ""


@dataclass(frozen=True)
class MomentChoices(NoiseChoices):
    """The parts of a moment-matching generator.

    Attributes:
        widths: Of its kernels.
    """

    widths: tuple[float, ...] = ()

    def plan(self, module: NoiseModule, layout: Layout) -> Plan:
        """One player; watched is whether kinds of rows are missing."""
        step = MomentStep(module, self.widths)
        # of some rows the discrepancy is so uncertain that the best epoch would be chosen by chance
        return Plan(step, [Player(step, trainable(step))], watcher(module), judged=False)

    def describe(self, history: History, module: NoiseModule) -> None:
        """The loss is a distance of kernels' means."""
        history.unit = ""


def steep(network: Network, layout: Layout) -> Network:
    """The network for a game: three layers where it is dense, and ReLU, which can step from one mode to the next."""
    if isinstance(network, networks.Dense):
        width = max(128, networks.dense.default_widths(layout.shape, 1)[0])
        return network.set_params(widths=(width,) * 3, activation="relu")
    return network.set_params(activation="relu")


def watcher(module: NoiseModule) -> Callable[[Rows], dict[str, float]]:
    """What is looked at after every epoch: whether made rows reach all kinds of real ones, or repeat themselves."""

    def watch(rows: Rows) -> dict[str, float]:
        real = module.features(rows)
        with seeded(WATCH_SEED):
            z = module.prior(rows.condition).sample(len(rows)).to(real.device)
        found = fidelity(real.cpu().numpy(), module.made(z, rows.condition).cpu().numpy())
        return {
            "recall": found.recall,
            "coverage": found.coverage,
            "coverage_expected": found.expected,
            "duplicates": max(0.0, found.duplicates - found.duplicates_real),
        }

    return watch


class BaseGenerator(BaseModel):
    """What every estimator that makes rows of noise by networks does."""

    LIMITS: ClassVar[str] = "It makes rows and gives no likelihood of any."


@final
class GAN(BaseGenerator):
    """A generator that learns to make rows which a discriminator cannot tell from real ones.

    min_G max_D of the loss: by default relativistic, with both slopes of the discriminator held down (R3GAN). Rows come
    from a moving average of the generator's weights. Tables and images alike: categories are made by a straight-through
    argmax, blanks by a flag per column. Sharp rows, but no likelihood, and kinds of rows may go missing: the history
    watches for that (`history_.diagnose()`).

    Args:
        code_size: Numbers of noise per row; None: twice the values of a row, from 8 to 64.
        loss: What both minimise (`narrows.adversarial`); None: `adversarial.Relativistic`.
        network: Its decoder is the generator, its encoder the discriminator; None: by the data.
        discriminator: Its encoder is the discriminator instead; None: the network's, or where that is left open too a
            dense one for small images, which are then judged as a whole.
        decay: Of the generator's moving average, per step.
        every: The generator moves at every n-th step, the discriminator at all.
        format: How raw data becomes rows.
        training: Settings of the loop; images learn at a quarter of their learning rate. There is no early stopping:
            losses of a game do not say which epoch was best.
        random_state: Whole number for equal runs.

    Example:
        ```python
        images, kinds = np.random.rand(60, 8, 8), np.arange(60) % 4
        model = GAN(training=Training(epochs=1), random_state=0).fit(images, labels=kinds)
        model.sample(5, where="label = 3").shape  # (5, 8, 8)
        ```

    References:
        Goodfellow et al.: Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661;
        Huang, Gokaslan, Kuleshov, Tompkin: The GAN is dead; long live the GAN! A Modern Baseline GAN, 2024,
        https://arxiv.org/abs/2501.05441
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        loss: AdversarialLoss | None = None,
        network: Network | None = None,
        discriminator: Network | None = None,
        decay: Annotated[float, Interval(0, 1, open_high=True)] = 0.999,
        every: Annotated[int, Interval(1)] = 1,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.loss = loss
        self.network = network
        self.discriminator = discriminator
        self.decay = decay
        self.every = every
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> GANChoices:
        """The parts that these parameters mean; None where the data should decide."""
        return GANChoices(
            code_size=self.code_size,
            network=self.network,
            discriminator=self.discriminator,
            format=self.format,
            loss=self.loss or adversarial.Relativistic(),
            decay=self.decay,
            every=self.every,
        )


@final
class MomentMatching(BaseGenerator):
    """A generator without a discriminator: its rows, taken together, are to have the moments of real ones.

    Minimises the maximum mean discrepancy between batches, with Gaussian kernels of several widths. There is no game
    that could oscillate, and it suits tables of few columns; distances between pixels say little, so images blur.

    Args:
        code_size: Numbers of noise per row; None: twice the values of a row, from 8 to 64.
        widths: Of the kernels, in units of the root mean squared distance between real rows.
        network: Its decoder is the generator; None: by the data.
        format: How raw data becomes rows.
        training: Settings of the loop; a batch of some hundred rows says more of moments than a few dozen.
        random_state: Whole number for equal runs.

    References:
        Li, Swersky, Zemel: Generative Moment Matching Networks, 2015, https://arxiv.org/abs/1502.02761
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        widths: tuple[Annotated[float, Positive], ...] = (0.05, 0.1, 0.2, 0.5, 1.0),
        network: Network | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.widths = widths
        self.network = network
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> MomentChoices:
        """The parts that these parameters mean; None where the data should decide."""
        return MomentChoices(
            code_size=self.code_size, network=self.network, format=self.format, widths=tuple(self.widths)
        )
