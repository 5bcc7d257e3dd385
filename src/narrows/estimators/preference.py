"""A language model taught what is better: direct preference optimisation."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Annotated, Any

import torch

from narrows._part import Interval, Positive, check_value
from narrows._types import Rows
from narrows.errors import InvalidData
from narrows.estimators._shared import draw_seed
from narrows.estimators.language import LanguageModel
from narrows.language import Sample
from narrows.models.preference import PreferenceStep, reply_log_probs, rows_of
from narrows.training import Loop, Player, Training
from narrows.training.loop import trainable
from narrows.training.seeds import hash_seed

AT_ONCE = 32  # pairs that the reference judges together


def prefer(
    model: LanguageModel,
    pairs: Iterable[tuple[str, str, str]],
    beta: float = 0.1,
    training: Training | None = None,
    random_state: Any = None,
) -> LanguageModel:
    """A language model that has learnt which of two replies is better; the model given stays as it is.

    Minimises −ln σ(β (r_w − r_l)) over pairs, where r = ln p(y | x) − ln p_ref(y | x) of the better reply w and the
    worse one l, and the model given is the reference.

    Args:
        model: A fitted language model.
        pairs: (prompt, better, worse), texts: what should follow the prompt rather than what. A model of several texts
            takes each reply for a whole one, whose end counts too.
        beta: β above 0: the larger, the closer the model stays to the one given.
        training: Settings of the loop; None: small steps, five times through the pairs.
        random_state: Whole number for equal runs.

    Returns:
        A new language model, with the history of this training.

    Raises:
        InvalidParameter: If ``beta`` is not above 0.
        InvalidData: If there are no pairs, or one is no pair.
        TrainingFailed: If training diverges again and again.

    References:
        Rafailov, Sharma, Mitchell, Ermon, Manning, Finn: Direct Preference Optimization: Your Language Model is
        Secretly a Reward Model, 2023, https://arxiv.org/abs/2305.18290

    Example:
        ```python
        model = LanguageModel(networks.Recurrent(hidden=16), training=Training(epochs=2)).fit("so it goes. " * 40)
        calmer = prefer(model, [("so it ", "goes. ", "goes! ")] * 8, random_state=0)
        ```
    """
    model._check_fitted()
    check_value("prefer", "beta", beta, Annotated[float, Positive])
    seed, rows = draw_seed(random_state), _rows(model, pairs)
    settings = training or Training(epochs=5, batch_size=16, learning_rate=3e-4)
    settings = settings.set_params(clip=settings.clip or 1.0)
    reference = model.module_
    device = next(reference.parameters()).device
    with torch.inference_mode():
        parts = (rows.take(slice(i, i + AT_ONCE)).to(device) for i in range(0, len(rows), AT_ONCE))
        judged = torch.cat([reply_log_probs(reference, part) for part in parts])
    rows = rows.replace(target=judged.cpu().clone())
    tuned = copy.deepcopy(model)
    step = PreferenceStep(tuned.module_, beta)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(hash_seed(seed, 2)))
    held = settings.held_out(len(rows))
    loop = Loop(step, [Player(step, trainable(step))], settings, hash_seed(seed, 1), words=f"prefer {beta}")
    history = loop.fit(rows.take(order[held:]), rows.take(order[:held]) if held else None)
    history.unit = "nats per pair"
    tuned.module_ = tuned.module_.to(device).eval()
    tuned.history_ = history
    tuned.reasons_ = [*model.reasons_, f"then {len(rows):,} pairs of a better and a worse reply, β = {beta:g}"]
    return tuned


def drift(
    model: LanguageModel, reference: LanguageModel, prompts: Iterable[str], length: int = 50, random_state: Any = None
) -> float:
    """How far a model is from another in what it writes itself: KL(p ‖ p_ref) per token, in nats.

    The mean of ln p(y | x) − ln p_ref(y | x) over texts y that the model writes after the prompts, by the number of
    their tokens; where a text ended before ``length``, its end mark is one of them. 0 for the same model.

    Args:
        model: Whose texts are looked at.
        reference: The other, of the same tokens.
        prompts: What texts begin with.
        length: Tokens of each text, at most.
        random_state: Whole number for equal texts.

    Raises:
        InvalidParameter: If ``length`` is no whole number of at least 1.
        InvalidData: If there are no prompts, or one is no text.
    """
    model._check_fitted()
    reference._check_fitted()
    check_value("drift", "length", length, Annotated[int, Interval(1)])
    seed, texts = draw_seed(random_state), []
    for number, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise InvalidData(f"{prompt!r} is no text to begin with: give strings")
        begun = [*_prompt(model, ""), *model._prompt(prompt)]  # which says so if a word was never seen
        tokens = _written(model, begun, length, draw_seed(hash_seed(seed, number) % 2**32))
        if tokens:
            texts.append((begun, tokens, tokens))
    if not texts:
        raise InvalidData("there are no prompts, or nothing follows them: give some texts to begin with")
    rows = rows_of(texts)
    with torch.inference_mode():
        parts = [rows.take(slice(i, i + AT_ONCE)) for i in range(0, len(rows), AT_ONCE)]
        own, other = (
            torch.cat(
                [reply_log_probs(m.module_, p.to(next(m.module_.parameters()).device))[:, 0].cpu() for p in parts]
            )
            for m in (model, reference)
        )
    assert rows.observed is not None
    return float((own - other).sum() / rows.observed[..., 0].sum())


def _rows(model: LanguageModel, pairs: Iterable[tuple[str, str, str]]) -> Rows:
    texts = []
    for pair in pairs:
        if not (isinstance(pair, (tuple, list)) and len(pair) == 3 and all(isinstance(t, str) for t in pair)):
            raise InvalidData(f"{pair!r} is no pair: give (prompt, better, worse), three texts")
        prompt, better, worse = pair
        tokens = _reply(model, better), _reply(model, worse)
        if any(all(t == model.format_.end for t in reply) for reply in tokens):
            raise InvalidData(f"{pair!r} has a reply without any token: give texts that are not empty")
        texts.append((_prompt(model, prompt), *tokens))
    if len(texts) < 2:
        raise InvalidData(f"{len(texts)} pairs are too few to learn from: give two at least, better some hundred")
    return rows_of(texts)


def _prompt(model: LanguageModel, prompt: str) -> list[int]:
    """The tokens of a prompt, behind the mark that texts begin with where there is one."""
    end = model.format_.end
    return [*([] if end is None else [end]), *(int(t) for t in model.format_.encode(prompt))]


def _reply(model: LanguageModel, text: str) -> list[int]:
    """The tokens of a reply, with the mark that texts end with where there is one."""
    end = model.format_.end
    return [*(int(t) for t in model.format_.encode(text)), *([] if end is None else [end])]


def _written(model: LanguageModel, begun: list[int], length: int, seed: int) -> list[int]:
    """Tokens that a model writes behind others, as `LanguageModel.generate` draws them, and the end mark if it came."""
    end, device = model.format_.end, next(model.module_.parameters()).device
    prompt = torch.tensor(begun, device=device).long()
    tokens = list(Sample().stream(model.next_token(), prompt, length, end, seed))
    return [*tokens, end] if end is not None and len(tokens) < length else tokens
