"""Pretrained language models of the transformers library, as strategies see them. Needs the extra ``narrows[hub]``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from narrows._hub import local_only
from narrows.errors import InvalidData, MissingExtra

Kind = Literal["causal", "reader"]
KINDS = {"causal": "AutoModelForCausalLM", "reader": "AutoModelForQuestionAnswering"}


def library() -> Any:
    """The transformers library, quiet.

    Raises:
        MissingExtra: Without ``pip install narrows[hub]``.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("pretrained language models need transformers: pip install 'narrows[hub]'") from error
    found: Any = transformers
    found.logging.set_verbosity_error()
    found.logging.disable_progress_bar()
    return found


def open_pretrained(
    name: str | os.PathLike[str], kind: Kind | None = None, *, revision: str | None = None, device: str = "auto"
) -> tuple[Any, Any, Kind]:
    """A model, its tokeniser, and what kind it is.

    Weights are read from safetensors or GGUF only, and no code that comes with a model is run.

    Args:
        name: A folder, a ``.gguf`` file, or the name of a model on the hub.
        kind: "causal": it writes; "reader": it marks answers in a text; None: as its configuration says.
        revision: Which version of a model on the hub.
        device: Where to compute; ``"auto"``: a GPU when there is one.

    Raises:
        MissingExtra: Without ``pip install narrows[hub]``.
        InvalidData: If there is no such model, it cannot be reached, or it is of another kind.
    """
    transformers, place = library(), os.fspath(name)
    asked: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    if place.lower().endswith(".gguf"):
        path = Path(place)
        if not path.is_file():
            raise InvalidData(f"there is no file {place!r}")
        try:
            import accelerate  # noqa: F401
            import gguf  # noqa: F401
        except ImportError as error:
            raise MissingExtra(f"{place!r} is a GGUF file: pip install 'narrows[hub]' gguf accelerate") from error
        place, asked = str(path.parent), {"gguf_file": path.name, "trust_remote_code": False}
        kind = kind or "causal"
    else:
        asked["local_files_only"] = local_only(place, revision)
    try:
        if kind is None:
            config = transformers.AutoConfig.from_pretrained(place, **asked)
            reads = any("QuestionAnswering" in a for a in config.architectures or ())
            kind = "reader" if reads else "causal"
        tokeniser = transformers.AutoTokenizer.from_pretrained(place, **asked)
        safe = {} if "gguf_file" in asked else {"use_safetensors": True}
        model = getattr(transformers, KINDS[kind]).from_pretrained(place, dtype=torch.float32, **safe, **asked)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InvalidData(
            f"{os.fspath(name)!r} is no language model that transformers can read from safetensors or GGUF. Give a "
            f"folder that holds one, a .gguf file, or a name on the hub that can be reached from here ({reason})"
        ) from error
    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return model.eval().to(where), tokeniser, kind


def reach_of(model: Any, tokeniser: Any = None) -> int | None:
    """How many tokens a model can read at once; None where it does not say."""
    config = model.config
    names = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")
    found = next((int(v) for n in names if isinstance(v := getattr(config, n, None), int)), None)
    most = getattr(tokeniser, "model_max_length", None)
    if isinstance(most, int) and 0 < most < 10**9:  # a larger number means that nobody knows
        found = most if found is None else min(found, most)
    return found


@dataclass(frozen=True)
class _Read:
    """What was read: the tokens ``(B, T)``, and the model's own cache of them."""

    tokens: Tensor
    cache: Any


class PretrainedTokens:
    """The `NextToken` of a causal model of the transformers library.

    A state is used up by `advance` and `reorder`: the library changes its cache in place.

    Args:
        model: The model, in evaluation mode.
        start: The token that stands before an empty prompt.
        reach: How many tokens it can read at once; where they are reached it begins anew with the last half of them.
            None: no limit.
        cached: Whether what was read is kept. If not, all is read again for every token: the slow way, to compare with.
    """

    def __init__(self, model: Any, start: int, reach: int | None = None, cached: bool = True) -> None:
        self.model, self.start, self.reach, self.cached = model, start, reach, cached

    def begin(self, tokens: Tensor) -> tuple[Tensor, _Read]:
        """Read the beginnings ``(B, T)``; the logits ``(B, V)`` of what comes next."""
        if tokens.shape[1] == 0:
            tokens = tokens.new_full((len(tokens), 1), self.start)
        if self.reach is not None and tokens.shape[1] >= self.reach:
            tokens = tokens[:, -max(1, self.reach // 2) :]
        made = self.model(input_ids=tokens, use_cache=self.cached)
        return made.logits[:, -1].float(), _Read(tokens, made.past_key_values if self.cached else None)

    def advance(self, tokens: Tensor, state: _Read) -> tuple[Tensor, _Read]:
        """Read one more token of each row ``(B,)``; the logits ``(B, V)`` of what comes next."""
        read = torch.cat([state.tokens, tokens.unsqueeze(1)], 1)
        if state.cache is None or (self.reach is not None and read.shape[1] >= self.reach):
            return self.begin(read)
        made = self.model(input_ids=tokens.unsqueeze(1), past_key_values=state.cache, use_cache=True)
        return made.logits[:, -1].float(), _Read(read, made.past_key_values)

    def reorder(self, state: _Read, index: Tensor) -> _Read:
        """The state of some rows."""
        if state.cache is not None:
            state.cache.batch_select_indices(index)
        return _Read(state.tokens[index], state.cache)
