"""Several sets of rows, one code: a row of one set shown as a row of another."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any, Self, final

import numpy as np
import torch
from sklearn.base import TransformerMixin

from narrows import bottlenecks, corruptions, tasks
from narrows._part import Part
from narrows._types import Layout, Rows
from narrows.bottlenecks import Bottleneck
from narrows.corruptions import Corruption
from narrows.data import open_source
from narrows.data.split import count
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators._base import BaseModel
from narrows.estimators._choose import Choices
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._labels import Labels
from narrows.estimators._shared import check_params
from narrows.estimators.autoencoder import Size
from narrows.likelihoods import Likelihood
from narrows.models import TranslatorModule
from narrows.networks import Network
from narrows.penalties import Penalties, Penalty
from narrows.priors import Prior
from narrows.tasks.inference import chunk_size, in_chunks
from narrows.training import Training


@dataclass(frozen=True)
class TranslatorChoices(Choices):
    """The parts of a translator; None where the data should decide."""

    def build(self, layout: Layout) -> TranslatorModule:
        """The module that these parts make, freshly initialised from torch's global generator."""
        assert self.network is not None
        assert self.bottleneck is not None
        assert self.likelihood is not None
        assert self.prior is not None
        if self.corruption is not None and self.corruption.masks:
            layout = layout.maskable()
        return TranslatorModule(layout, self.network, self.bottleneck, self.likelihood, self.prior)


@final
class Translator(TransformerMixin, BaseModel):
    """One encoder, and a decoder for each of several sets of rows, trained together without pairs.

    Minimises −E[log p_s(x|z)] + KL(q(z|x) ‖ p(z)) where s is the set that x is of. Only the decoders know sets, so the
    code must hold what the sets have in common, such as a character and not its font, a face's expression and not whose
    face it is. The code of a row, decoded as another set, is that row translated.

    Args:
        code_size: Numbers per code.
        corruption: What is done to rows in training; None: images are bent (`corruptions.Warp`), so that codes hold
            what is seen rather than where every pixel lies; tables get noise.
        bottleneck: What the code may be; None: a Gaussian for each row, drawn towards one prior for all sets, so that
            the sets' codes come to lie over each other.
        penalties: Further terms of the objective; None: the KL divergence.
        prior: What codes look like; None: standard normal.
        network: Makes the encoder and every decoder.
        likelihood: What the reconstruction is judged by.
        format: How raw data becomes rows, one format for all sets.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    Attributes:
        classes_: The names of the sets.

    References:
        The shared-encoder face swap (deepfakes/faceswap, 2017); Liu, Breuel, Kautz: Unsupervised Image-to-Image
        Translation Networks, 2017, https://arxiv.org/abs/1703.00848

    Example:
        ```python
        model = Translator(2, training=Training(epochs=2)).fit({"here": X_train, "there": X_test})
        model.translate(X_train, to="there").shape   # (60, 4)
        ```
    """

    LIMITS = (
        "Nothing says what in two sets belongs together but the code that they share: look at translations before "
        "they are used. A picture of a person made from another's is not a picture of that person."
    )

    module_: TranslatorModule
    choices_: Choices

    def __init__(
        self,
        code_size: Size = None,
        *,
        corruption: Corruption | None = None,
        bottleneck: Bottleneck | None = None,
        penalties: Penalties | Penalty | None = None,
        prior: Prior | None = None,
        network: Network | None = None,
        likelihood: Likelihood | None = None,
        format: Part | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.code_size = code_size
        self.corruption = corruption
        self.bottleneck = bottleneck
        self.penalties = penalties
        self.prior = prior
        self.network = network
        self.likelihood = likelihood
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> TranslatorChoices:
        """The parts that these parameters mean; None where the data should decide."""
        return TranslatorChoices(
            code_size=self.code_size,
            network=self.network,
            bottleneck=self.bottleneck or bottlenecks.Gaussian(),
            likelihood=self.likelihood,
            corruption=self.corruption or corruptions.Chain((corruptions.Warp(), corruptions.Gaussian(0.1))),
            penalties=self.penalties,
            prior=self.prior,
            format=self.format,
        )

    def fit(self, X: Any, y: Any = None, *, labels: Any = None) -> Self:
        """Learn from several sets of rows.

        Args:
            X: The sets by name, ``{"a": A, "b": B}``, or in order, ``[A, B]`` (then called a, b, …); each as in
                `Autoencoder.fit`, tables of equal columns or images. Or all rows in one, with ``labels``.
            y: Ignored.
            labels: ``(n,)`` the set of every row, where ``X`` is all rows.

        Returns:
            The model itself.

        Raises:
            InvalidParameter: If a parameter cannot be used.
            InvalidData: If there are fewer than two sets, or they cannot be put together.
            TrainingFailed: If training diverges again and again.
        """
        check_params(self)
        if labels is None:
            X, labels = _joined(X)
        format_, rows = self._open(X)
        known, index = Labels.of(labels, len(rows))
        if len(known.classes) < 2 or bool((index < 0).any()):
            raise InvalidData("a translator learns from two sets or more, and every row is of one of them")
        sizes = torch.bincount(index).float()
        weight = (len(index) / (len(sizes) * sizes))[index]  # sets count alike, however many rows they have
        return self._fit_rows(format_, rows.replace(condition=index, weight=weight), known)

    _finish = BaseAutoencoder._finish

    def transform(self, X: Any) -> np.ndarray:
        """The code of every row, whatever set it is of.

        Args:
            X: n rows of any set.

        Returns:
            ``(n, code_size)``.
        """
        rows = self._rows(X)
        return tasks.encode(self.module_, rows).numpy()

    def translate(self, X: Any, to: Any) -> Any:
        """Rows shown as rows of a set.

        Args:
            X: n rows of any set.
            to: The name of the set.

        Returns:
            n rows, in the units and the container of the training data.

        Raises:
            InvalidParameter: If there is no such set.
        """
        rows = self._rows(X)
        place = self._place(to)

        def run(part: Rows) -> torch.Tensor:
            z = self.module_.encode(part)
            return self.module_.decode(z, torch.full((len(part),), place, device=z.device)).mean

        device = next(self.module_.parameters()).device
        return self.format_.from_values(in_chunks(run, rows, chunk_size(self.module_.layout), device), like=X)

    def reconstruct(self, X: Any, of: Any) -> Any:
        """What is left of every row of a set after it was narrowed to its code; `translate` to the set it is of.

        Args:
            X: n rows.
            of: The name of their set.
        """
        return self.translate(X, to=of)

    def _place(self, name: Any) -> int:
        known = self.classes_.tolist()
        if name not in known and str(name) in known:
            name = str(name)  # sets that were given by number are known by its text
        if name not in known:
            raise InvalidParameter(f"there is no set {name!r}: the model knows {', '.join(map(repr, known))}")
        return known.index(name)


def _joined(sets: Any) -> tuple[Any, np.ndarray]:
    """All rows of several sets, and the name of every row's set."""
    if isinstance(sets, Sequence) and not isinstance(sets, (str, bytes)) and len(sets) <= len(ascii_lowercase):
        sets = dict(zip(ascii_lowercase, sets, strict=False))
    if not isinstance(sets, Mapping) or len(sets) < 2:
        raise InvalidData("give two sets of rows or more, as {'a': A, 'b': B} or [A, B]; or all rows, and labels")
    opened = [open_source(x).data if isinstance(x, (str, os.PathLike)) else x for x in sets.values()]
    odd = next((n for n, x in zip(sets, opened, strict=True) if not _holds_rows(x)), None)
    if odd is not None:
        raise InvalidData(
            f"set {odd!r} is no rows ({type(sets[odd]).__name__}): give tables, or arrays of rows or images"
        )
    counts = [count(x) for x in opened]
    return _together(opened, list(map(str, sets))), np.repeat(np.array(list(map(str, sets))), counts)


def _holds_rows(data: Any) -> bool:
    """Whether something looks like rows: an array, a list or a table, not a value or a column."""
    return (
        isinstance(data, (list, tuple)) or len(getattr(data, "shape", (0, 0) if hasattr(data, "__len__") else ())) > 1
    )


def _together(sets: list[Any], names: list[str]) -> Any:
    """The rows of several sets in one container."""
    kinds = {type(x).__name__ for x in sets}
    if len(kinds) > 1:
        raise InvalidData(f"the sets came as {', '.join(sorted(kinds))}: give all of them in one kind of container")
    if isinstance(sets[0], (list, tuple)):
        return [row for one in sets for row in one]
    if isinstance(sets[0], np.ndarray):
        shapes = [x.shape[1:] for x in sets]
        if len(set(shapes)) > 1:
            each = ", ".join(f"{n} {s}" for n, s in zip(names, shapes, strict=True))
            raise InvalidData(f"rows of the sets have different shapes ({each}): bring them to one")
        return np.concatenate(sets)
    import narwhals as nw

    frames = [nw.from_native(x, eager_only=True) for x in sets]
    odd = next((n for n, f in zip(names, frames, strict=True) if set(f.columns) != set(frames[0].columns)), None)
    if odd is not None:
        raise InvalidData(f"the tables of sets {names[0]!r} and {odd!r} have different columns: give equal ones")
    return nw.concat([f.select(frames[0].columns) for f in frames]).to_native()
