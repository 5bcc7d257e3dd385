"""Captions: rows told in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from narrows._types import Rows
from narrows.errors import InvalidData, InvalidParameter, SavedModelError
from narrows.estimators._base import BaseModel
from narrows.estimators._labels import MOST, Labels
from narrows.estimators._shared import draw_seed
from narrows.tasks import in_chunks
from narrows.tasks._model_source import ModelSource
from narrows.tasks.inference import chunk_size
from narrows.training.seeds import seeded


def words_of(caption: str) -> list[str]:
    """The words of a caption, each once: small letters, digits, and whatever other letters there are."""
    return list(dict.fromkeys(re.findall(r"\w+", caption.lower())))


@dataclass(frozen=True)
class Words(Labels):
    """The words that captions are made of, as classes of which a row has several.

    Attributes:
        classes: ``(k,)`` the words, sorted.
        shares: ``(k,)`` how often each occurs, of all words.
    """

    @classmethod
    def of(cls, labels: Any, n: int) -> tuple[Self, Tensor]:
        """The words of n captions, and each row's: ``(n, T)`` whole numbers, filled up with −1.

        Raises:
            InvalidData: If they are not n, are no text, or hold no words or too many.
        """
        cells = list(labels)
        if len(cells) != n:
            raise InvalidData(f"captions has {len(cells)} entries for {n} rows: give one per row, '' where it has none")
        for cell in cells:
            if not isinstance(cell, str):
                raise InvalidData(f"captions holds {cell!r}, which is no text: give '' where a row has no caption")
        found = [words_of(cell) for cell in cells]
        classes = sorted({word for words in found for word in words})
        if not 1 <= len(classes) <= MOST:
            raise InvalidData(f"captions hold {len(classes):,} different words: give from 1 to {MOST:,}")
        counts = np.zeros(len(classes))
        place = {word: i for i, word in enumerate(classes)}
        index = torch.full((n, max(map(len, found))), -1)
        for row, words in enumerate(found):
            for number, word in enumerate(words):
                index[row, number] = place[word]
                counts[place[word]] += 1
        return cls(np.array(classes), tuple((counts / counts.sum()).tolist())), index

    def read(self, prompt: Any) -> Tensor:
        """``(1, T)`` the words of a prompt.

        Raises:
            InvalidParameter: If it is no text, or holds none but unknown words, or some.
        """
        known = {str(word): i for i, word in enumerate(self.classes.tolist())}
        words = words_of(prompt) if isinstance(prompt, str) else []
        strange = [word for word in words if word not in known]
        if strange or not words:
            some = ", ".join([*known][:40]) + (", …" if len(known) > 40 else "")
            said = f"does not know {', '.join(map(repr, strange))}" if strange else "wants text"
            raise InvalidParameter(f"prompt={prompt!r}: this model {said}; its words are: {some}")
        return torch.tensor([[known[word] for word in words]])

    def to_config(self) -> dict[str, Any]:
        """The words as plain JSON."""
        return {**super().to_config(), "words": True}

    @classmethod
    def restored(cls, config: Mapping[str, Any]) -> Labels:
        """Labels or words, as they were saved.

        Raises:
            SavedModelError: If the description is damaged.
        """
        if not isinstance(config, Mapping):
            raise SavedModelError(f"the saved labels are damaged: {config!r}")
        return (cls if config.get("words") else Labels).from_config(config)


class Captioned(BaseModel):
    """A model that rows may be asked of in words."""

    def fit(self, X: Any, y: Any = None, *, labels: Any = None, captions: Any = None) -> Self:
        """Learn from rows, as other models do.

        Args:
            X: n rows.
            y: Ignored; here for scikit-learn's pipelines.
            labels: ``(n,)`` the class of every row.
            captions: n texts instead: what each row shows, ``""`` where nothing is said. Their words count, not their
                order: ``sample(5, prompt="a small red square")``.

        Returns:
            The model itself.

        Raises:
            InvalidParameter: If a parameter cannot be used, or parts do not go together.
            InvalidData: If the rows, labels or captions cannot be used.
            TrainingFailed: If training diverges again and again.
        """
        if captions is None:
            return super().fit(X, y, labels=labels)
        if labels is not None:
            raise InvalidParameter("labels and captions both say what rows are: give one of them")
        return super().fit(X, y, labels=Captions(captions))

    def _source(self) -> ModelSource:
        """What rows are drawn from."""
        return ModelSource(self.module_, self.format_) if isinstance(self._labels, Words) else super()._source()

    def sample(
        self, n: int = 1, where: str | None = None, random_state: Any = None, *, prompt: str | None = None
    ) -> Any:
        """New rows.

        Args:
            n: How many, at least 1.
            where: A condition that all of them meet, as in other models.
            random_state: Whole number for equal rows at every call; None: new rows every time.
            prompt: What they are to show, in words of the captions that it learnt from.

        Returns:
            n rows, in the units and the container of the training data.

        Raises:
            InvalidParameter: If ``where`` or ``prompt`` cannot be read, or name what does not exist.
            InvalidData: If no row that meets ``where`` is found.
        """
        if prompt is None:
            return super().sample(n, where, random_state)
        if where is not None:
            raise InvalidParameter("sample(prompt=…, where=…): give one of them")
        if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
            raise InvalidParameter(f"sample({n!r}): n must be a whole number of at least 1")
        return self._prompted(prompt, int(n), random_state)

    def _prompted(self, prompt: str, n: int, random_state: Any) -> Any:
        self._check_fitted()
        if not isinstance(self._labels, Words):
            raise InvalidParameter(f"prompt={prompt!r}: this model has learnt no words: fit(X, captions=…)")
        told = self._labels.read(prompt).expand(n, -1)
        device = next(self.module_.parameters()).device
        with seeded(draw_seed(random_state)), torch.no_grad():
            codes = Rows(self.module_.prior(told.to(device)).sample(n).cpu(), condition=told)
            size = getattr(self.module_, "chunk", None) or chunk_size(self.module_.layout)
            values = in_chunks(lambda part: self.module_.generate(part.values, part.condition), codes, size, device)
        return self.format_.from_values(values)


@dataclass(frozen=True)
class Captions:
    """Captions on their way to where labels are read."""

    cells: Any

    def read(self, n: int) -> tuple[Words, Tensor]:
        """The words, and each row's."""
        return Words.of(self.cells, n)
