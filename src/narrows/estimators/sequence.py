"""Texts made from texts: learnt from pairs, or from texts alone as their damaged copies."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, final

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from narrows import corruptions
from narrows._part import Interval, Part, decode, encode
from narrows._saved import FORMAT_VERSION
from narrows._types import Layout, Rows
from narrows._version import __version__
from narrows.corruptions import Corruption
from narrows.data.corpus import corpus_of
from narrows.data.text import Text, TextFormat
from narrows.errors import InvalidData, SavedModelError
from narrows.estimators._base import NotFitted
from narrows.estimators._shared import check_params, draw_seed
from narrows.estimators._store import write
from narrows.language.strategies import Beam, Strategy
from narrows.models.sequence import GONE, Reply, SequenceModule, SequenceStep
from narrows.networks import Network, Recurrent
from narrows.training import History, Loop, Player, Training
from narrows.training.loop import trainable
from narrows.training.seeds import hash_seed, seeded

LONGER = 1.5  # a reply is at most so many times as long as the longest in training


@final
class SequenceToSequence(BaseEstimator):
    """Makes a text from a text: an encoder, a decoder, and attention from one to the other.

    Minimises −Σ_t log p(y_t | y_<t, x). Learnt from pairs (x, y), it answers a new x with its most likely y, which
    beam search looks for. Learnt from texts alone it is a denoising autoencoder: x is y with slips, drawn anew every
    time, and what it makes of a damaged text is the text as it should be.

    Args:
        network: Makes encoder and decoder; None: one layer of GRUs.
        tokens: "characters", "words" or "byte-pair": what texts are made of.
        width: Numbers per token between the parts.
        corruption: What is done to x in training; None: nothing where there are pairs, `corruptions.Slips` where there
            are none.
        training: Settings of the loop.
        random_state: Whole number for equal runs.

    Attributes:
        format_: Texts to tokens and back.
        module_: The trained `models.SequenceModule`.
        history_: One row per epoch.

    References:
        Bahdanau, Cho, Bengio: Neural Machine Translation by Jointly Learning to Align and Translate, 2014,
        https://arxiv.org/abs/1409.0473; Hill, Cho, Korhonen: Learning Distributed Representations of Sentences from
        Unlabelled Data, 2016, https://arxiv.org/abs/1602.03483 (denoising autoencoders of text)

    Example:
        ```python
        words = ["abc", "bca", "cab", "acb"] * 20
        model = SequenceToSequence(training=Training(epochs=2), random_state=0).fit(words, [w[::-1] for w in words])
        model.predict(["abc"])  # ["cba"] after enough epochs
        ```
    """

    format_: TextFormat
    module_: SequenceModule
    history_: History
    network_: Network
    seed_: int

    def __init__(
        self,
        network: Network | None = None,
        *,
        tokens: Literal["characters", "words", "byte-pair"] = "characters",
        width: Annotated[int, Interval(2)] = 128,
        corruption: Corruption | None = None,
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.network = network
        self.tokens = tokens
        self.width = width
        self.corruption = corruption
        self.training = training
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from pairs of texts, or from texts.

        Args:
            X: n texts: a list, a column, the file of a table with one, or the name of a file or of a folder of files,
                whose lines are the texts.
            y: As many texts, what each is to become; None: X itself, without the slips that X then gets. A pair of
                which either is blank (None) is left out.

        Returns:
            The model itself.

        Raises:
            InvalidParameter: If a parameter cannot be used.
            InvalidData: If there are fewer than two texts, or not as many in ``y``.
            TrainingFailed: If training diverges again and again.
        """
        check_params(self)
        seed = draw_seed(self.random_state)
        texts, replies = _pairs(X, y)
        format_ = Text(tokens=self.tokens, least=1).fit([*texts, *(replies if y is not None else [])])
        network = self.network or Recurrent(cell="gru", hidden=self.width)
        corruption = self.corruption or (corruptions.Slips() if y is None else None)
        rows = _rows(format_, texts, None)
        layout = Layout(rows.values.shape[1:], (format_.size,), high=(format_.size - 1.0,), ragged=True)
        rows = rows.replace(target=_targets(format_, replies))
        module = _fresh(layout, network, self.width, seed)
        assert format_.end is not None
        step = SequenceStep(module, corruption, format_.end)
        training = (self.training or Training()).set_params(clip=(self.training or Training()).clip or 1.0)
        held = training.held_out(len(texts))
        order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(hash_seed(seed, 2)))
        loop = Loop(
            step, [Player(step, trainable(step))], training, hash_seed(seed, 1), words=f"{network!r} {layout!r}"
        )
        history = loop.fit(rows.take(order[held:]), rows.take(order[:held]) if held else None)
        history.unit = "nats per token"
        self.format_, self.module_, self.network_ = format_, module.cpu().eval(), network
        self.history_, self.seed_ = history, seed
        self._longest = int(LONGER * rows.target.shape[1]) + 1 if rows.target is not None else 0
        return self

    def predict(self, X: Any, strategy: Strategy | None = None, random_state: Any = None) -> list[str]:
        """What becomes of texts.

        Args:
            X: n texts.
            strategy: How the tokens are chosen; None: the likeliest text, by ``Beam(4)``.
            random_state: Whole number, for strategies that draw.

        Returns:
            n texts.

        Raises:
            InvalidData: If a text is longer than any in training, or blank (None).
        """
        self._check_fitted()
        width = min(4, self.format_.size)
        chosen, seed = strategy or Beam(width), draw_seed(random_state)
        rows, begun = self._rows(_texts(X)), torch.zeros(0, dtype=torch.long)
        found = []
        with torch.inference_mode():
            for i in range(len(rows)):
                reply = Reply(self.module_, rows.take(slice(i, i + 1)))
                found.append(list(chosen.stream(reply, begun, self._longest, self.format_.end, seed)))
        return [self.format_.decode(tokens) for tokens in found]

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """Log p(y | x) of every pair, in nats.

        Args:
            X: n texts.
            y: As many; None: X itself.

        Returns:
            ``(n,)``.

        Raises:
            InvalidData: If there are not as many in ``y``, or one is longer than any in training, or blank (None).
        """
        self._check_fitted()
        texts = _texts(X)
        rows, targets = self._rows(texts), _targets(self.format_, texts if y is None else _texts(y))
        if len(targets) != len(rows):
            raise InvalidData(f"{len(rows)} texts and {len(targets)} to make of them: give pairs")
        found = []
        with torch.inference_mode():
            for i in range(len(rows)):  # each by itself, so that none depends on the others
                target = targets[i][targets[i] != GONE].unsqueeze(0)
                before = torch.cat([torch.full((1, 1), self.format_.size), target[:, :-1]], 1)
                logits = self.module_(rows.take(slice(i, i + 1)), before)
                found.append(float(logits.log_softmax(-1).gather(-1, target.unsqueeze(-1)).sum()))
        return np.array(found)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`."""
        return float(self.score_samples(X, y).mean())

    def untrained(self) -> Self:
        """A copy with the weights it began with: the baseline that every model must beat."""
        self._check_fitted()
        copy = type(self)(**self.get_params(deep=False))
        copy.__dict__.update(self.__dict__)
        copy.module_ = _fresh(self.module_.layout, self.network_, self.width, self.seed_).eval()
        return copy

    def save(self, folder: str | os.PathLike[str], metrics: dict[str, Any] | None = None) -> Path:
        """Write the model into a folder, to be read by ``narrows.load``."""
        self._check_fitted()
        params = self.get_params(deep=False) | {"random_state": self.seed_}
        content = {
            "format_version": FORMAT_VERSION,
            "narrows": __version__,
            "estimator": "SequenceToSequence",
            "params": {name: encode(value) for name, value in params.items()},
            "seed": self.seed_,
            "network": self.network_.to_config(),
            "format": self.format_.to_config(),
            "steps": self.module_.steps,
            "longest": self._longest,
            "history": self.history_.to_config(),
            "reasons": list(self.format_.reasons),
            "metrics": encode(dict(metrics or {})),
        }
        return write(Path(folder), self.module_.state_dict(), content, _card)

    def _rows(self, texts: Sequence[str]) -> Rows:
        return _rows(self.format_, texts, self.module_.steps)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether it has been fitted or loaded."""
        return hasattr(self, "module_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFitted("this SequenceToSequence is not fitted yet: call fit(X, y) first, or narrows.load(folder)")


def restored(content: Mapping[str, Any], state: Mapping[str, Tensor]) -> SequenceToSequence:
    """The model that ``model.json`` and its tensors describe.

    Raises:
        SavedModelError: If something is missing or does not fit.
    """
    made = SequenceToSequence(**{name: decode(value) for name, value in content["params"].items()})
    check_params(made)
    network, format_ = Part.from_config(content["network"]), TextFormat.from_config(content["format"])
    if not isinstance(network, Network):
        raise SavedModelError(f"{network!r} is no network")
    layout = Layout((int(content["steps"]), 1), (format_.size,), high=(format_.size - 1.0,), ragged=True)
    module = _fresh(layout, network, made.width, content["seed"])
    module.load_state_dict(dict(state))
    made.format_, made.module_, made.network_ = format_, module.eval(), network
    made.history_, made.seed_ = History.from_config(content["history"]), int(content["seed"])
    made._longest = int(content["longest"])
    return made


def _fresh(layout: Layout, network: Network, width: int, seed: int) -> SequenceModule:
    with seeded(hash_seed(seed, 3)):
        return SequenceModule(layout, network, width)


def _texts(raw: Any) -> list[str]:
    """Texts of which none is blank.

    Raises:
        InvalidData: If one is.
    """
    found = _with_blanks(raw)
    if None in found:
        raise InvalidData(f"text {found.index(None)} is blank: leave blank texts out, or give '' for an empty one")
    return [text for text in found if text is not None]


def _with_blanks(raw: Any) -> list[str | None]:
    """Texts in their places, None where they are blank."""
    corpus = corpus_of(raw)
    found = ("".join(text) for text in corpus.texts())
    if isinstance(raw, (str, os.PathLike)) and (corpus.parts == (raw,) or isinstance(corpus.parts[0], Path)):
        return [line for text in found for line in text.splitlines()]
    blanks = frozenset(corpus.blanks)
    return [None if i in blanks else next(found) for i in range(len(corpus) + len(blanks))]


def _pairs(X: Any, y: Any) -> tuple[list[str], list[str]]:
    """Texts and what to make of them, without the pairs of which either is blank.

    Raises:
        InvalidData: If they are not as many, or fewer than two.
    """
    texts = _with_blanks(X)
    replies = texts if y is None else _with_blanks(y)
    both = [(a, b) for a, b in zip(texts, replies, strict=False) if a is not None and b is not None]
    if len(replies) != len(texts) or len(both) < 2:
        blank = f", {len(texts) - len(both)} of them blank" * (len(both) < len(texts) == len(replies))
        raise InvalidData(f"{len(texts)} texts and {len(replies)} to make of them{blank}: give pairs, two at least")
    return [a for a, _ in both], [b for _, b in both]


def _rows(format_: TextFormat, texts: Sequence[str], most: int | None) -> Rows:
    """Texts as rows, each by itself, padded to the longest or to ``most`` tokens."""
    tokens = [format_.encode(text) for text in texts]
    lengths = torch.tensor([len(t) for t in tokens])
    longest = int(lengths.max()) if most is None else most
    if int(lengths.max()) > longest:
        worst = int(lengths.argmax())
        raise InvalidData(
            f"text {worst} has {int(lengths[worst]):,} tokens, and the longest in training had {longest:,}: cut it, or "
            "learn from longer ones"
        )
    values = torch.zeros(len(tokens), max(1, longest), 1)
    for row, one in zip(values, tokens, strict=True):
        row[: len(one), 0] = torch.from_numpy(one).float()
    return Rows(values, lengths=lengths)


def _targets(format_: TextFormat, texts: Sequence[str]) -> Tensor:
    """Texts with their end marks ``(n, T)``, −1 behind them."""
    assert format_.end is not None
    tokens = [np.append(format_.encode(text), format_.end) for text in texts]
    targets = torch.full((len(tokens), max(map(len, tokens))), GONE)
    for row, one in zip(targets, tokens, strict=True):
        row[: len(one)] = torch.from_numpy(one)
    return targets


def _card(content: Mapping[str, Any]) -> str:
    history = History.from_config(content["history"])
    return (
        f"# SequenceToSequence\n\nMade by narrows {content['narrows']}. Load it with `narrows.load(folder)`.\n\n"
        f"- network: `{Part.from_config(content['network'])!r}`\n"
        f"- {len(history)} recorded epochs, {history.stopped}\n\n"
        "## Limits\n\nIt knows texts like those it learnt from, and makes up what it cannot read.\n"
    )
