"""Pretrained language models: text that follows a prompt, and answers to questions about a text."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self, final

import numpy as np
import torch
from torch import Tensor

from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators._shared import draw_seed
from narrows.language.pretrained import Kind, PretrainedTokens, open_pretrained, reach_of
from narrows.language.strategies import Greedy, Sample, Strategy

WINDOW = 384  # tokens of question and text that a reader looks at together
SHARED = 128  # tokens that two windows have in common, so that no answer is cut in two
LONGEST = 30  # tokens of an answer that a reader marks
ASKED = "Answer the question from this text, in a few words.\n\n{context}\n\nQuestion: {question}"


@final
class PretrainedLanguageModel:
    """A pretrained causal language model, with narrows' decoding strategies.

    Args:
        model: A causal model of ``transformers``.
        tokeniser: Its tokeniser.

    Example:
        ```text
        model = PretrainedLanguageModel.from_pretrained("folder, file.gguf or owner/name")
        model.generate("Once upon a time", length=40, strategy=Sample(temperature=0.7), random_state=0)
        ```

    Reference:
        Transformers: State-of-the-Art Natural Language Processing, Wolf et al., 2020,
        https://arxiv.org/abs/1910.03771
    """

    def __init__(self, model: Any, tokeniser: Any) -> None:
        self.model, self.tokeniser = model, tokeniser

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str], *, device: str = "auto", revision: str | None = None
    ) -> Self:
        """Read a model from a folder or a GGUF file, or fetch it from the hub.

        Args:
            name: The folder, the ``.gguf`` file, or the name on the hub.
            device: Where to compute; ``"auto"``: a GPU when there is one.
            revision: Which version of it, for runs that can be repeated.

        Raises:
            MissingExtra: Without ``pip install narrows[hub]``.
            InvalidData: If there is no such model, or it cannot be reached.
        """
        model, tokeniser, _ = open_pretrained(name, "causal", device=device, revision=revision)
        return cls(model, tokeniser)

    @property
    def context(self) -> int | None:
        """How many tokens it reads at once; None where it does not say."""
        return reach_of(self.model, self.tokeniser)

    def generate(
        self, prompt: str = "", length: int = 200, strategy: Strategy | None = None, random_state: Any = None
    ) -> str:
        """Text that follows a prompt.

        Args:
            prompt: What the text begins with.
            length: Tokens to write, at most.
            strategy: How tokens are chosen; None: ``Sample()``.
            random_state: Whole number for equal texts at every call.

        Returns:
            What follows, without the prompt.

        Raises:
            InvalidParameter: If a parameter cannot be used.
        """
        return "".join(self.stream(prompt, length, strategy, random_state))

    def stream(
        self, prompt: str = "", length: int = 200, strategy: Strategy | None = None, random_state: Any = None
    ) -> Iterator[str]:
        """The pieces of what `generate` gives, as soon as each is written."""
        if not isinstance(prompt, str):
            raise InvalidParameter(f"prompt={prompt!r} is no text: give a string, or '' to begin from nothing")
        if not isinstance(length, Integral) or isinstance(length, bool) or length < 1:
            raise InvalidParameter(f"length={length!r}: give the number of tokens to write, at least 1")
        tokens = self._tokens(prompt)
        following = (strategy or Sample()).stream(
            self.next_token(), tokens, int(length), self.tokeniser.eos_token_id, draw_seed(random_state)
        )
        return self._pieces(following, tokens.tolist()[-4:])

    def chat(
        self,
        messages: Sequence[dict[str, str]],
        length: int = 200,
        strategy: Strategy | None = None,
        random_state: Any = None,
    ) -> str:
        """The reply to a conversation, in the form that the model was taught.

        Args:
            messages: Such as ``[{"role": "user", "content": "Who are you?"}]``.
            length: Tokens to write, at most.
            strategy: How tokens are chosen; None: ``Greedy()``.
            random_state: Whole number for equal replies at every call.

        Raises:
            InvalidData: If the model was not taught to converse.
        """
        if getattr(self.tokeniser, "chat_template", None) is None:
            raise InvalidData("this model has no chat template: it goes on with texts; use generate(prompt)")
        prompt = self.tokeniser.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return self.generate(prompt, length, strategy or Greedy(), random_state).strip()

    def score_samples(self, X: Sequence[str]) -> np.ndarray:
        """Log p of every text, in nats; of one longer than the context, in windows that share half of it.

        Args:
            X: n texts.

        Returns:
            ``(n,)``.
        """
        return np.array([float(self._log_probs(text).sum()) for text in _texts(X)])

    def perplexity(self, X: Sequence[str]) -> float:
        """The perplexity of some texts per token: exp of minus the mean log p."""
        found = torch.cat([self._log_probs(text) for text in _texts(X)])
        if not len(found):
            raise InvalidData("the text is empty: there is nothing to judge")
        return math.exp(min(-float(found.mean()), 700.0))

    def next_token(self, cached: bool = True) -> PretrainedTokens:
        """The model as strategies and searches see it."""
        return PretrainedTokens(self.model, self._start, self.context, cached)

    @property
    def _start(self) -> int:
        t = self.tokeniser
        return int(next((i for i in (t.bos_token_id, t.eos_token_id, t.pad_token_id) if i is not None), 0))

    def _tokens(self, text: str) -> Tensor:
        begun = self.tokeniser.bos_token is not None and text.startswith(self.tokeniser.bos_token)
        found = self.tokeniser(text, add_special_tokens=not begun)["input_ids"] if text else []
        if found and found[-1] == self.tokeniser.eos_token_id:  # some tokenisers end what is to be gone on with
            found = found[:-1]
        return torch.tensor(found, dtype=torch.long, device=self.model.device)

    def _pieces(self, following: Iterator[int], before: list[int]) -> Iterator[str]:
        told, waiting = before, list[int]()
        for token in following:
            waiting.append(token)
            done, text = self._said(told), self._said([*told, *waiting])
            # a character may take several tokens
            if text.endswith("\ufffd") and len(waiting) < 4:
                continue
            yield text[len(done) :]
            told, waiting = [*told, *waiting][-4:], []
        if waiting:
            yield self._said([*told, *waiting])[len(self._said(told)) :]

    def _said(self, tokens: list[int]) -> str:
        return str(self.tokeniser.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    @torch.inference_mode()
    def _log_probs(self, text: str) -> Tensor:
        tokens = self._tokens(text)
        if not len(tokens):
            return torch.zeros(0)
        if tokens[0] != self._start:
            tokens = torch.cat([tokens.new_full((1,), self._start), tokens])
        reach = self.context or len(tokens)
        parts, done = list[Tensor](), 1
        while done < len(tokens):
            start = max(0, done - max(1, reach // 2)) if done > 1 else 0
            window = tokens[start : start + reach]
            logits = self.model(input_ids=window.unsqueeze(0)).logits[0].float()
            found = logits[:-1].log_softmax(-1).gather(-1, window[1:].unsqueeze(-1)).squeeze(-1)
            parts.append(found[done - start - 1 :].cpu())
            done = start + len(window)
        return torch.cat(parts) if parts else torch.zeros(0)


@dataclass(frozen=True)
class Answer:
    """An answer to a question about a text.

    Attributes:
        text: The answer.
        score: Probability that the model gives to it: of this place in the text, or of these words.
        start: Where in the text it stands, if it was marked there; else None.
        notes: What should be said about how it was found.
    """

    text: str
    score: float
    start: int | None = None
    notes: tuple[str, ...] = ()


@final
class QuestionAnswerer:
    """Answers questions about a text, by a pretrained model: one that marks the answer, or one that writes it.

    A text that is longer than the model can read is cut into windows that overlap. A model that marks answers looks at
    all of them and gives the likeliest place; one that writes is shown the window that shares most words with the
    question, rare words counting more.

    Args:
        model: A model of ``transformers`` for question answering, or a causal one.
        tokeniser: Its tokeniser.
        kind: "reader" or "causal".

    Example:
        ```text
        QuestionAnswerer.from_pretrained("owner/name").answer("Who came?", "Anna came, and Bert did not.").text
        ```

    Reference:
        SQuAD: 100,000+ Questions for Machine Comprehension of Text, Rajpurkar et al., 2016,
        https://arxiv.org/abs/1606.05250
    """

    def __init__(self, model: Any, tokeniser: Any, kind: Kind) -> None:
        self.model, self.tokeniser, self.kind = model, tokeniser, kind

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str], *, device: str = "auto", revision: str | None = None
    ) -> Self:
        """Read a model from a folder or a GGUF file, or fetch it from the hub.

        Args:
            name: The folder, the ``.gguf`` file, or the name on the hub.
            device: Where to compute; ``"auto"``: a GPU when there is one.
            revision: Which version of it.

        Raises:
            MissingExtra: Without ``pip install narrows[hub]``.
            InvalidData: If there is no such model, or it cannot be reached.
        """
        return cls(*open_pretrained(name, device=device, revision=revision))

    def answer(self, question: str, context: str, length: int = 64) -> Answer:
        """The answer to a question about a text.

        Args:
            question: The question.
            context: The text.
            length: Tokens to write, at most, for a model that writes.

        Raises:
            InvalidData: If question or text are empty, or the question alone is longer than the model can read.
        """
        for what, value in (("question", question), ("context", context)):
            if not isinstance(value, str) or not value.strip():
                raise InvalidData(f"the {what} is empty: give a question and a text to find the answer in")
        if self.kind == "reader":
            return self._marked(question, context)
        return self._written(question, context, length)

    # --- marking ---------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _marked(self, question: str, context: str) -> Answer:
        most = min(WINDOW, reach_of(self.model, self.tokeniser) or WINDOW)
        room = most - len(self.tokeniser(question)["input_ids"]) - 2
        if room < 8:
            raise InvalidData(
                f"the question leaves no room for a text: the model reads {most} tokens; ask a shorter one"
            )
        cut = self.tokeniser(
            question,
            context,
            truncation="only_second",
            max_length=most,
            stride=min(SHARED, room // 2),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        best: tuple[float, int, int] = (-math.inf, 0, 0)
        total = list[float]()
        for i, tokens in enumerate(cut["input_ids"]):
            given = {"input_ids": torch.tensor([tokens], device=self.model.device)}
            if "token_type_ids" in cut:
                given["token_type_ids"] = torch.tensor([cut["token_type_ids"][i]], device=self.model.device)
            made = self.model(**given)
            inside = torch.tensor([s == 1 for s in cut.sequence_ids(i)])
            scores = _spans(made.start_logits[0].float().cpu(), made.end_logits[0].float().cpu(), inside)
            total.append(float(scores.logsumexp((0, 1))))
            first, last = divmod(int(scores.argmax()), len(tokens))
            if float(scores[first, last]) > best[0]:
                places = cut["offset_mapping"][i]
                best = (float(scores[first, last]), int(places[first][0]), int(places[last][1]))
        p = math.exp(best[0] - float(torch.tensor(total).double().logsumexp(0)))
        notes = (_windows(len(total), most, "all were read"),) if len(total) > 1 else ()
        return Answer(context[best[1] : best[2]], p, best[1], notes)

    # --- writing ---------------------------------------------------------------------------------------------

    def _written(self, question: str, context: str, length: int) -> Answer:
        writer = PretrainedLanguageModel(self.model, self.tokeniser)
        most = writer.context
        notes: tuple[str, ...] = ()
        if most is not None:
            asked = len(writer._tokens(self._asked(writer, question, "")))
            room = most - asked - length - 2
            if room < 8:
                raise InvalidData(
                    f"question and answer leave no room for a text: the model reads {most:,} tokens; ask a shorter "
                    "question, or for fewer tokens"
                )
            parts = _cut(self.tokeniser, context, room)
            if len(parts) > 1:
                context = max(parts, key=_likeness(question, parts))
                notes = (_windows(len(parts), room, "the one with most of the question's words was read"),)
        prompt = self._asked(writer, question, context)
        written = writer.generate(prompt, length, Greedy(), 0)
        text = written.strip() if self._converses else written.strip().split("\n")[0].rstrip()
        judged = written[: written.find(text) + len(text)] if text else ""  # with the space that it begins with
        return Answer(text, self._likelihood(writer, prompt, judged), None, notes)

    @property
    def _converses(self) -> bool:
        return getattr(self.tokeniser, "chat_template", None) is not None

    def _asked(self, writer: PretrainedLanguageModel, question: str, context: str) -> str:
        if not self._converses:
            return f"{context}\n\nQuestion: {question}\nAnswer:"
        words = ASKED.format(context=context, question=question)
        said = [{"role": "user", "content": words}]
        return str(self.tokeniser.apply_chat_template(said, tokenize=False, add_generation_prompt=True))

    def _likelihood(self, writer: PretrainedLanguageModel, prompt: str, text: str) -> float:
        if not text:
            return 0.0
        before, whole = writer._log_probs(prompt), writer._log_probs(prompt + text)
        return math.exp(min(0.0, float(whole.sum() - before.sum())))


def _spans(start: Tensor, end: Tensor, inside: Tensor) -> Tensor:
    """Log-scores ``(T, T)`` of all answers from a token to another, −∞ where there can be none."""
    scores = start.unsqueeze(1) + end.unsqueeze(0)
    able = inside.unsqueeze(1) & inside.unsqueeze(0)
    able &= torch.ones_like(able).triu() & ~torch.ones_like(able).triu(LONGEST)
    return scores.masked_fill(~able, -math.inf)


def _cut(tokeniser: Any, text: str, most: int) -> list[str]:
    """A text in windows of at most so many tokens, each beginning in the middle of the one before."""
    words, parts, start = re.findall(r"\S+\s*", text), list[str](), 0
    sizes = [len(tokeniser(w, add_special_tokens=False)["input_ids"]) for w in words]
    while start < len(words):
        end, size = start, 0
        while end < len(words) and (size + sizes[end] <= most or end == start):
            size, end = size + sizes[end], end + 1
        parts.append("".join(words[start:end]))
        if end >= len(words):
            break
        start = max(start + 1, (start + end) // 2)
    return parts


def _likeness(question: str, parts: Sequence[str]) -> Any:
    """How many of the question's words a part has, those counting more that few parts have."""

    def words(text: str) -> set[str]:
        return set(re.findall(r"\w+", text.lower()))

    having = Counter(w for part in parts for w in words(part))
    weight = {w: math.log(1 + len(parts) / having[w]) for w in words(question) if having[w]}
    return lambda part: sum(weight.get(w, 0.0) for w in words(part))


def _windows(count: int, size: int, what: str) -> str:
    return f"the text was cut into {count} windows of at most {size:,} tokens; {what}"


def _texts(X: Any) -> list[str]:
    found = [X] if isinstance(X, str) else list(X)
    odd = next((x for x in found if not isinstance(x, str)), None)
    if odd is not None:
        raise InvalidData(f"{odd!r} is no text: give a list of strings")
    return found
