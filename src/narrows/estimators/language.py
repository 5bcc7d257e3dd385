"""Language models: what comes next in a text, learnt from text alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Annotated, Any, ClassVar, Literal, Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import Tags

from narrows._part import Interval
from narrows._types import Rows
from narrows.data.corpus import Corpus, corpus_of
from narrows.data.text import WINDOWS, Text, TextFormat, windows
from narrows.data.token_stream import TokenStream
from narrows.errors import DataWarning, InvalidData, InvalidParameter
from narrows.estimators._base import BaseModel
from narrows.estimators._language_choices import LanguageChoices, log_probs, planned, rows_at_once
from narrows.estimators._shared import check_params, draw_seed
from narrows.language import Sample, Strategy
from narrows.language.autoregressive import AutoregressiveTokens
from narrows.models.autoregressive import AutoregressiveModule
from narrows.networks import Network
from narrows.tasks.inference import in_chunks
from narrows.training import Training
from narrows.training.seeds import hash_seed

JUDGED = 2_048  # tokens that a recurrent network reads at once when a text is judged
CARRIED = 256  # of these, tokens that are read again for what they leave, and not judged again


@final
class LanguageModel(BaseModel):
    """A language model: the probability of every next token, and so of texts, and new texts drawn from it.

    log p(x) = Σ_t log p(x_t | x_1 … x_{t−1})

    Learnt from text alone, by maximum likelihood over windows of it. The last part of the text (``training.validation``
    of it) is held out, and the weights that were best on it are kept.

    Args:
        network: ``networks.Recurrent(…)`` or ``networks.Transformer(…)``; None: chosen by the text.
        tokens: "characters", "words" or "byte-pair"; None: as ``format`` says, else characters.
        context: Tokens of a window: what is learnt from at once, and how far a transformer looks back. None: as
            ``format`` says, else by the kind of tokens.
        embedding: Numbers per token. None: as many as the network has per step.
        tied: Whether the numbers of a token that is read are the weights of one that is written.
        windows: Windows of an epoch. None: as many as the text has.
        format: Other options of the text.
        training: Settings of the loop. What is left open is planned for about 2,500 steps and gradients of length 1
            at most; the loss is in nats per token.
        random_state: Whole number for equal runs.

    Example:
        ```python
        model = LanguageModel(networks.Recurrent(hidden=16), training=Training(epochs=2), random_state=0)
        model.fit("the cat sat on the mat. " * 40)
        model.perplexity("the cat") < model.untrained().perplexity("the cat")  # True
        len(model.generate("the ", length=20, strategy=Sample(temperature=0.5), random_state=1))  # 20
        ```

    References:
        Mikolov et al.: Recurrent Neural Network Based Language Model, 2010,
        https://www.fit.vut.cz/research/publication/9362; Radford et al.: Language Models are Unsupervised Multitask
        Learners, 2019; Press, Wolf: Using the Output Embedding to Improve Language Models, 2016,
        https://arxiv.org/abs/1608.05859 (``tied``)
    """

    LIMITS: ClassVar[str] = "Scores are log p(text) in nats. It writes what is likely, which need not be true."

    format_: TextFormat
    module_: AutoregressiveModule
    choices_: LanguageChoices

    def __init__(
        self,
        network: Network | None = None,
        *,
        tokens: Literal["characters", "words", "byte-pair"] | None = None,
        context: Annotated[int, Interval(2)] | None = None,
        embedding: Annotated[int, Interval(1)] | None = None,
        tied: bool = True,
        windows: Annotated[int, Interval(1)] | None = None,
        format: Text | None = None,  # noqa: A002
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.network = network
        self.tokens = tokens
        self.context = context
        self.embedding = embedding
        self.tied = tied
        self.windows = windows
        self.format = format
        self.training = training
        self.random_state = random_state

    def choices(self) -> LanguageChoices:
        """The parts that these parameters mean; None where the data should decide."""
        own = {"tokens": self.tokens, "context": self.context}
        format_ = (self.format or Text()).set_params(**{n: v for n, v in own.items() if v is not None})
        return LanguageChoices(self.network, self.embedding, self.tied, format_)

    def _default_parts(self) -> dict[str, Any]:
        return {"training": Training(), "format": Text()}

    # --- fitting ---------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, labels: Any = None) -> Self:
        """Learn from text.

        Args:
            X: A text; the name of a file or of a folder of text files; a column of a table, or a list, of texts; a
                table with one such column.
            y: Ignored.
            labels: Texts have none: leave it out.

        Returns:
            The model itself.

        Raises:
            InvalidParameter: If a parameter cannot be used, or parts do not go together.
            InvalidData: If there is no text, or it is too short to learn from.
            UnreadableFile: If a file is missing, or not text.
            TrainingFailed: If training diverges again and again.
        """
        check_params(self)
        if labels is not None:
            raise InvalidParameter("a text has no labels: leave labels out")
        seed, options = self._seed(), self.choices().format
        assert isinstance(options, Text)
        corpus = corpus_of(X, options.encoding, options.column)
        format_ = options.fit(corpus)
        tokens = format_.read(corpus)
        if len(tokens) < 2:
            raise InvalidData("the text is a single token: there is nothing that follows anything; give more text")
        format_ = _fitting(format_, len(tokens))
        held = self._training().held_out(len(tokens) // format_.context) * format_.context
        train: Any = TokenStream(tokens[: len(tokens) - held], format_.context, self.windows)
        format_.reasons.append(
            f"{len(tokens) - held:,} tokens to learn from" + f", the last {held:,} held out" * (held > 0)
        )
        return self._learn(
            format_, train, windows(tokens[len(tokens) - held :], format_.context) if held else None, seed
        )

    def _planned(self, training: Training, rows: int) -> Training:
        return planned(training, rows)

    # --- judging ---------------------------------------------------------------------------------------------

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Log p of every text.

        Where the model has learnt from several texts, each begins after an end mark and its own end counts too; else it
        may stand anywhere in a text, and goes on.

        Args:
            X: n texts, as in ``fit``; one text is a list of one.

        Returns:
            ``(n,)`` in nats; longer texts are less likely. Of a text without tokens only the end mark is judged; where
            there is none, it has 0.

        Raises:
            InvalidData: If there is no text, or one is blank (None).
        """
        return np.array([float(found.sum()) for found in self._judged(X, blanks=False)])

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log p per token, in nats: higher is better, for grid searches.

        Args:
            X: Texts, as in ``fit``.
            y: Ignored.
        """
        found = np.concatenate(self._judged(X))
        if not len(found):
            raise InvalidData("the text is empty: there is nothing to judge")
        return float(found.mean())

    def perplexity(self, X: Any) -> float:
        """Among how many equally likely tokens the model is as unsure as it is here.

        exp(−1/T Σ_t log p(x_t | x_1 … x_{t−1}))

        Every token counts once, and what came before is carried on through the whole text (a transformer looks back on
        half its context at least). Only models of the same tokens can be compared by it.

        Args:
            X: Texts, as in ``fit``; held out of training, or it flatters.

        Returns:
            A number of at least 1.

        Raises:
            InvalidData: If there is no text.
        """
        return math.exp(min(-self.score(X), 700.0))

    def _judged(self, X: Any, blanks: bool = True) -> list[NDArray[np.float64]]:
        """Log p of every token of every text; blank texts are left out, or refused."""
        self._check_fitted()
        options = self.format_.options
        corpus = X if isinstance(X, Corpus) else corpus_of(X, options.encoding, options.column)
        if corpus.blanks and not blanks:
            raise InvalidData(f"text {corpus.blanks[0]} is blank, and has no score: leave blank texts out, or give ''")
        texts, end = list(self.format_.each(corpus)), self.format_.end
        if end is None:
            return [self._log_probs(text) for text in texts]
        marked = [np.concatenate([[end], text, [end]]).astype(np.int64) for text in texts]
        return [self._log_probs(text)[1:] for text in marked]

    def _log_probs(self, tokens: NDArray[Any]) -> NDArray[np.float64]:
        """Log p of every token ``(T,)`` given those before it, window by window, of which each reads some again."""
        if not len(tokens):
            return np.zeros(0)
        reach = self.choices_.reach(self.format_.context)
        size, again = (JUDGED, CARRIED) if reach is None else (reach, reach // 2)
        if len(tokens) < size:  # lengths of a few kinds, so that a short text is not padded to a long one
            size = min(size, 1 << (len(tokens) - 1).bit_length())
        starts = np.arange(0, max(1, len(tokens) - again), max(1, size - again))
        padded = np.zeros(starts[-1] + size, dtype=np.float32)
        padded[: len(tokens)] = tokens
        values = torch.from_numpy(padded[starts[:, None] + np.arange(size)]).unsqueeze(-1)
        module, device = self.module_, next(self.module_.parameters()).device
        at_once = min(8, rows_at_once(module.layout, size))
        found = in_chunks(lambda rows: log_probs(module, rows), Rows(values), at_once, device).double().numpy()
        new = np.concatenate([found[0], *(row[again:] for row in found[1:])])
        return new[: len(tokens)]

    # --- writing ---------------------------------------------------------------------------------------------

    def generate(
        self, prompt: str = "", length: int = 200, strategy: Strategy | None = None, random_state: Any = None
    ) -> str:
        """Text that follows a prompt.

        Args:
            prompt: What the text begins with; "" for one from the beginning.
            length: Tokens to write, at most; a model of several texts may end one sooner.
            strategy: How tokens are chosen; None: ``Sample()``, by their probabilities.
            random_state: Whole number for equal texts at every call; None: another text every time.

        Returns:
            What follows, without the prompt.

        Raises:
            InvalidParameter: If a parameter cannot be used.

        Warns:
            DataWarning: If the prompt holds a word or a character that was never seen; it is read as ``<unk>``.
        """
        return "".join(self.stream(prompt, length, strategy, random_state))

    def stream(
        self, prompt: str = "", length: int = 200, strategy: Strategy | None = None, random_state: Any = None
    ) -> Iterator[str]:
        """The pieces of what `generate` gives, as soon as each is written.

        Args:
            prompt: As in `generate`.
            length: As in `generate`.
            strategy: As in `generate`.
            random_state: As in `generate`.

        Returns:
            An iterator over strings.

        Raises:
            InvalidParameter: If a parameter cannot be used, at once.
        """
        self._check_fitted()
        if not isinstance(prompt, str):
            raise InvalidParameter(f"prompt={prompt!r} is no text: give a string, or '' to begin from nothing")
        if not isinstance(length, Integral) or isinstance(length, bool):
            raise InvalidParameter(f"length={length!r}: give the number of tokens to write, at least 1")
        chosen = Sample() if strategy is None else strategy
        if not isinstance(chosen, Strategy):
            raise InvalidParameter(
                f"strategy={strategy!r} is none: give Greedy(), Sample(temperature=…) or Beam(width=…)"
            )
        begun = self._prompt(prompt)
        end, model = self.format_.end, self.next_token()
        tokens = torch.tensor([*([] if end is None else [end]), *begun], device=next(self.module_.parameters()).device)
        following = chosen.stream(model, tokens.long(), int(length), end, draw_seed(random_state))
        return self.format_.stream(following, begun)

    def next_token(self, cached: bool = True) -> AutoregressiveTokens:
        """The model as strategies and searches see it: the logits of the next token, given some tokens.

        Args:
            cached: Whether what was read is kept from token to token; without, texts are the same and slower.
        """
        self._check_fitted()
        unknown, reach = self.format_.tokeniser.unknown, self.choices_.reach(self.format_.context)
        return AutoregressiveTokens(self.module_, reach, [] if unknown is None else [unknown], cached)

    def _prompt(self, prompt: str) -> list[int]:
        tokens, unknown = self.format_.encode(prompt).tolist(), self.format_.tokeniser.unknown
        if unknown is not None and unknown in tokens:
            many = tokens.count(unknown)
            warnings.warn(
                DataWarning(f"{many} of the prompt's {len(tokens)} tokens were never seen, and are read as <unk>"),
                stacklevel=4,
            )
        return [int(t) for t in tokens]

    def sample(self, n: int = 1, where: str | None = None, random_state: Any = None) -> list[str]:
        """New texts from the beginning, of as many tokens as a window has, at most.

        Args:
            n: How many, at least 1.
            where: Texts have no columns: leave it out.
            random_state: Whole number for equal texts at every call.

        Returns:
            n texts.

        Raises:
            InvalidParameter: If ``n`` is no whole number of at least 1, or ``where`` is given.
        """
        self._check_fitted()
        if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
            raise InvalidParameter(f"sample({n!r}): n must be a whole number of at least 1")
        if where is not None:
            raise InvalidParameter(
                "a text has no columns that could meet a condition: give generate() a prompt instead"
            )
        seed = draw_seed(random_state)
        return [self.generate("", self.format_.context, random_state=hash_seed(seed, i) % 2**32) for i in range(int(n))]

    def __sklearn_tags__(self) -> Tags:
        """Texts, not tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array, tags.input_tags.three_d_array = True, False, False
        tags.input_tags.one_d_array, tags.input_tags.allow_nan = True, False
        return tags


def _fitting(format_: TextFormat, tokens: int) -> TextFormat:
    """A format whose windows are short enough for a text to have several."""
    from dataclasses import replace

    most = max(1, tokens // WINDOWS)
    if format_.context <= most:
        return format_
    said = f"windows of {most} tokens instead of {format_.context}: the text has only {tokens:,}"
    return replace(format_, context=most, reasons=[*format_.reasons, said])
