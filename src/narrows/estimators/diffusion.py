"""Diffusion models of rows, and of codes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Self, final

import numpy as np
import torch

from narrows import bottlenecks, likelihoods, penalties, priors
from narrows._part import Interval, Part
from narrows._types import Layout, Rows
from narrows.diffusion import Heun, Noise, Sampler
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators._captions import Captioned
from narrows.estimators._cells import fill_cells
from narrows.estimators._choices import ModelChoices, Plan
from narrows.estimators._choose import Choices
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._shared import draw_seed
from narrows.estimators.autoencoder import NotNegative, Size
from narrows.likelihoods import Likelihood
from narrows.models.diffusion import DiffusionGenerator
from narrows.networks import Network, Residual, UNet
from narrows.networks.unet import default_patch
from narrows.penalties import Penalties
from narrows.tasks import in_chunks
from narrows.training import History, Player, Training
from narrows.training.loop import trainable
from narrows.training.seeds import hash_seed, seeded
from narrows.training.source import Source

LOOKED_AT = 10_000  # rows whose mean and spread are learnt
SMALLEST = 8  # pixels on the shorter side of images that convolutions are used on
# channels per level of a U-Net whose places are squares of pixels; the innermost level sees small images as a whole
PATCHED = (32, 64, 96)
RATE = 2.0  # of learning on images, in units of the settings': what a few thousand steps reach is nearer to real images
BETA = 0.01  # of latent diffusion: codes may say nearly all, since the prior is not asked to be simple


@dataclass(frozen=True)
class DiffusionChoices(ModelChoices):
    """The parts of a diffusion model; None where the data should decide.

    Attributes:
        network: Makes the denoiser.
        noise: The sizes of noise.
        sampler: How rows are drawn.
        guidance: How often the class counts.
        decay: Of the weights' moving average.
        format: How raw data becomes rows.
    """

    network: Network | None = None
    noise: Noise = field(default_factory=Noise)
    sampler: Sampler = field(default_factory=Heun)
    guidance: float = 1.0
    decay: float = 0.999
    format: Part | None = None
    likelihood: None = None
    reasons: list[str] = field(default_factory=list)

    PARTS: ClassVar[tuple[str, ...]] = ("network", "noise", "sampler")
    NEEDED: ClassVar[tuple[str, ...]] = ("network", "noise", "sampler")

    def resolved(self, format_: Any, layout: Layout, rows: Rows) -> Self:
        """Choices without gaps, and with reasons.

        Raises:
            InvalidData: If all rows are alike.
        """
        if rows.observed is None and bool((rows.values == rows.values[:1]).all()):
            raise InvalidData(f"all {len(rows)} rows are the same: there is nothing to learn from; give rows that vary")
        if self.network is not None:
            return replace(self, reasons=[])
        if len(layout.shape) == 3 and min(layout.shape[1:]) >= SMALLEST:
            return self._of_images(layout)
        reason = "residual dense network: the rows have no neighbours to convolve, or hardly any"
        return replace(self, network=Residual(width=256, depth=4), reasons=[reason])

    def _of_images(self, layout: Layout) -> Self:
        side = default_patch(layout.shape)
        reason = f"U-Net: the rows are images of {layout.shape[1]} × {layout.shape[2]} pixels"
        if side == 1:
            return replace(self, network=UNet(), reasons=[reason])
        reason += f", taken in squares of {side} × {side}, since so many places would take long"
        return replace(self, network=UNet(channels=PATCHED, patch=side), reasons=[reason])

    def build(self, layout: Layout) -> DiffusionGenerator:
        """The module that these parts make, freshly initialised from torch's global generator."""
        assert self.network is not None
        return DiffusionGenerator(layout, self.network, self.noise, self.sampler, self.guidance, self.decay)

    def plan(self, module: DiffusionGenerator, layout: Layout) -> Plan:
        """One player; the moving average is what is judged."""
        step, rate = module.step(), RATE if len(layout.shape) == 3 else 1.0
        return Plan(step, [Player(step, trainable(step), rate=rate)], after_step=module.model.follow)

    def describe(self, history: History, module: DiffusionGenerator) -> None:
        """Every row is given noise in training."""
        history.code_size, history.noisy, history.unit = None, True, "1: knows nothing"


@final
class Diffusion(Captioned):
    """A network that learns to take noise of all sizes out of rows, and makes rows by doing so, from noise alone.

    Tables and images alike: categories are one-hot, blanks a flag per column. Rows come from a moving average of the
    weights. What is known of a row can be kept while the rest is drawn: ``sample(like=x, known=mask)``.

    Args:
        network: Makes the denoiser; None: a U-Net for images, a residual dense network for tables.
        noise: The sizes of noise.
        sampler: How rows are drawn: `narrows.diffusion.Heun`, ``DDIM`` or ``DDPM``.
        guidance: How often a row's class counts when rows of a class are asked for; above 1 they are more typical of it
            and vary less.
        decay: Of the weights' moving average, per step.
        format: How raw data becomes rows.
        training: Settings of the loop; images learn at twice their learning rate.
        random_state: Whole number for equal runs.

    Example:
        ```python
        images = np.random.default_rng(0).random((60, 8, 8))
        model = Diffusion(UNet(channels=(8, 8)), training=Training(epochs=1), random_state=0)
        model.fit(images, labels=[0, 1, 2] * 20)
        model.sample(2, where="label = 1").shape  # (2, 8, 8)
        known = np.arange(64).reshape(1, 8, 8) < 32
        halves = model.sample(like=images[:1], known=known)  # the lower half is made up
        bool((halves[known] == images[:1][known]).all())  # True
        ```

    References:
        Ho, Jain, Abbeel: Denoising Diffusion Probabilistic Models, 2020, https://arxiv.org/abs/2006.11239;
        Karras, Aittala, Aila, Laine: Elucidating the Design Space of Diffusion-Based Generative Models, 2022,
        https://arxiv.org/abs/2206.00364
    """

    LIMITS: ClassVar[str] = "Scores are errors in taking noise out of a row: they rank rows, and are no likelihoods."

    module_: DiffusionGenerator
    choices_: DiffusionChoices

    def __init__(
        self,
        network: Network | None = None,
        *,
        noise: Noise | None = None,
        sampler: Sampler | None = None,
        guidance: NotNegative = 1.0,
        decay: Annotated[float, Interval(0, 1, open_high=True)] = 0.999,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.network = network
        self.noise = noise
        self.sampler = sampler
        self.guidance = guidance
        self.decay = decay
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> DiffusionChoices:
        """The parts that these parameters mean; None where the data should decide."""
        return DiffusionChoices(
            network=self.network,
            noise=self.noise or Noise(),
            sampler=self.sampler or Heun(),
            guidance=self.guidance,
            decay=self.decay,
            format=self.format,
        )

    def _default_parts(self) -> dict[str, Any]:
        return {"training": Training(), "network": UNet()}

    def _begin(self, module: Any, train: Rows | Source) -> None:
        module.prepare(train.take(slice(LOOKED_AT)))

    def sample(
        self,
        n: int = 1,
        where: str | None = None,
        random_state: Any = None,
        *,
        prompt: str | None = None,
        like: Any = None,
        known: Any = None,
    ) -> Any:
        """New rows, or the rest of rows that are partly known.

        Args:
            n: How many, at least 1; not looked at with ``like``.
            where: A condition that all of them meet, as in other models.
            random_state: Whole number for equal rows at every call; None: new rows every time.
            prompt: What rows are to show, in words of the captions that it learnt from.
            like: Rows of which some cells are to be kept, as in ``fit``: every such cell comes back as it is.
            known: What of ``like`` is kept: boolean, of its shape. None, and always for tables that are no arrays: what
                is not blank.

        Returns:
            n rows, or as many as ``like`` has, in the units and the container of the training data.

        Raises:
            InvalidParameter: If ``where`` cannot be read or names what does not exist, or ``known`` does not fit.
            InvalidData: If no row that meets ``where`` is found.
        """
        if like is None:
            if known is not None:
                raise InvalidParameter("known=… says what of like=… is kept: give like too")
            return super().sample(n, where, random_state, prompt=prompt)
        if where is not None or prompt is not None:
            raise InvalidParameter("sample(like=…): conditions on rows that are partly known are not possible")
        self._check_fitted()
        seed = draw_seed(random_state)
        table = len(self.format_.layout.shape) == 1
        blanked = _blanked(like, known) if table and known is not None else like
        rows = self._rows(blanked)
        kept = torch.ones_like(rows.values, dtype=torch.bool) if rows.observed is None else rows.observed
        if table:
            filled = fill_cells(blanked, list(self.format_.columns), self._completed(rows, kept, seed), drawn=True)
            return filled if known is None else _restored(like, known, filled)
        if isinstance(like, (str, os.PathLike)) or isinstance(like[0], (str, os.PathLike)):
            like = self.format_.from_values(rows.values)  # files: their pixels
        mask = _pixels(like, known, tuple(rows.values.shape)) if known is not None else None
        if mask is not None:
            kept = kept & mask
        made = np.asarray(self.format_.from_values(torch.from_numpy(self._completed(rows, kept, seed)).float()))
        whole = np.asarray(like)
        again = kept.numpy().reshape(whole.shape) if whole.ndim == 3 else np.moveaxis(kept.numpy(), 1, -1)
        return np.where(again.reshape(whole.shape), whole, made.reshape(whole.shape).astype(whole.dtype))

    def _completed(self, rows: Rows, kept: torch.Tensor, seed: int) -> np.ndarray:
        with seeded(hash_seed(seed, 31)):
            joined = Rows(rows.values, target=kept)
            device = next(self.module_.parameters()).device
            found = in_chunks(
                lambda part: self.module_.complete(Rows(part.values), part.target),  # type: ignore[arg-type]
                joined,
                self.module_.chunk,
                device,
            )
        return np.asarray(found.double().numpy())

    def score_samples(self, X: Any) -> np.ndarray:
        """How well every row is told from noise: minus the loss of training, at 16 sizes of noise.

        Rows unlike those of training are worse told from noise, so this ranks rows by how normal they are. It is no
        log-density. The noise is the same for all rows.

        Args:
            X: n rows, as in ``fit``.

        Returns:
            ``(n,)`` at most 0; higher is more normal.
        """
        rows = self._rows(X)
        device = next(self.module_.parameters()).device
        return -in_chunks(self.module_.errors, rows, self.module_.chunk, device).double().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of ``score_samples``: higher is better, for grid searches.

        Args:
            X: n rows, as in ``fit``.
            y: Ignored.
        """
        return float(self.score_samples(X).mean())


def _blanked(like: Any, known: Any) -> Any:
    """A table whose unknown cells are blank."""
    if not hasattr(like, "shape") or not hasattr(like, "dtype"):
        raise InvalidParameter("known=… goes with arrays; in a DataFrame make blank what is not known instead")
    cells = np.array(like, dtype=object if np.asarray(like).dtype == object else float)
    mask = _mask(known, cells.shape)
    cells[~mask] = None if cells.dtype == object else np.nan
    return cells


def _restored(like: Any, known: Any, filled: np.ndarray) -> np.ndarray:
    """Filled cells with the known ones as they were, and of their type where that holds what was filled in."""
    cells = np.asarray(like)
    if cells.dtype.kind not in "iuf":
        return filled
    whole = cells.dtype.kind == "f" or bool(np.isfinite(filled).all())
    return np.where(known & ~np.isnan(cells), cells, filled.astype(cells.dtype) if whole else filled)


def _pixels(like: Any, known: Any, shape: tuple[int, ...]) -> torch.Tensor:
    """``(n, C, H, W)`` from a mask of the shape of images."""
    mask = _mask(known, np.asarray(like).shape)
    found = mask[:, None] if mask.ndim == 3 else np.moveaxis(mask, -1, 1)
    if found.shape != shape:
        raise InvalidParameter(f"these images were changed to {shape[1:]} before training: give them in that size")
    return torch.from_numpy(np.ascontiguousarray(found))


def _mask(known: Any, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.asarray(known)
    if mask.dtype != bool or mask.shape != shape:
        raise InvalidParameter(f"known must be boolean, of the shape {shape} of like, not {mask.dtype} {mask.shape}")
    return mask


@dataclass(frozen=True)
class LatentChoices(Choices):
    """The parts of a latent diffusion model: how far numbers of a table scatter about what a code says is learnt."""

    def resolved(self, format_: Any, layout: Layout, rows: Rows) -> Self:
        """Choices without gaps, and with reasons."""
        full = super().resolved(format_, layout, rows)
        if self.likelihood is not None or len(layout.shape) > 1:
            return full
        assert full.likelihood is not None
        return replace(full, likelihood=_scattered(full.likelihood))


def _scattered(likelihood: Likelihood) -> Likelihood:
    if isinstance(likelihood, likelihoods.Mixed):
        return likelihoods.Mixed(tuple(map(_scattered, likelihood.columns)))
    return likelihoods.Gaussian("column") if likelihood == likelihoods.Gaussian() else likelihood


@final
class LatentDiffusion(Captioned, BaseAutoencoder):
    """An autoencoder, and a diffusion model of its codes: rows are made by drawing a code and decoding it.

    First a variational autoencoder is trained whose codes may say nearly everything (a small β), then the codes'
    distribution is learnt by diffusion. It knows labels: ``fit(X, labels=y)``, ``sample(5, where="label = 3")``.

    Args:
        code_size: Numbers per code.
        beta: Weight of the KL divergence: how much of a row the code may not say.
        prior: The diffusion model of the codes (`narrows.priors.Diffusion`).
        network: Makes encoder and decoder.
        likelihood: What the reconstruction is judged by.
        format: How raw data becomes rows.
        training: Settings of the loop; a time budget is used by halves.
        random_state: Whole number for equal runs.

    Example:
        ```python
        rows = np.random.default_rng(0).normal(size=(60, 5))
        model = LatentDiffusion(2, training=Training(epochs=1), random_state=0).fit(rows, labels=[0, 1, 2] * 20)
        model.sample(4, where="label = 1").shape  # (4, 5)
        ```

    References:
        Rombach, Blattmann, Lorenz, Esser, Ommer: High-Resolution Image Synthesis with Latent Diffusion Models, 2022,
        https://arxiv.org/abs/2112.10752
    """

    def __init__(
        self,
        code_size: Size = None,
        *,
        beta: NotNegative = BETA,
        prior: priors.Diffusion | None = None,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.beta = beta
        self.prior = prior
        self.network = network
        self.likelihood = likelihood
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> LatentChoices:
        """The parts that these parameters mean; None where the data should decide."""
        return LatentChoices(
            code_size=self.code_size,
            network=self.network,
            bottleneck=bottlenecks.Gaussian(),
            likelihood=self.likelihood,
            penalties=Penalties(kl=penalties.KL(weight=self.beta)),
            prior=self.prior or priors.Diffusion(),
            format=self.format,
        )

    def _training(self) -> Training:
        training = super()._training()
        budget = training.time_budget
        return training if budget is None else training.set_params(time_budget=budget / 2)
