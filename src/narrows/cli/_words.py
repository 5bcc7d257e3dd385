"""What words on the command line mean: times, sizes, parts, models."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from narrows.errors import InvalidParameter

UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "": 1.0}
#: The estimators that ``--model`` names: the word, the class, and other words for it. A new one is a line here.
MODELS: dict[str, tuple[str, ...]] = {
    "autoencoder": ("Autoencoder", "ae", "plain"),
    "sparse": ("SparseAutoencoder", "sae"),
    "contractive": ("ContractiveAutoencoder", "cae"),
    "denoising": ("DenoisingAutoencoder", "dae"),
    "variational": ("VariationalAutoencoder", "vae"),
    "quantised": ("QuantisedAutoencoder", "vq"),
    "wasserstein": ("WassersteinAutoencoder", "wae"),
    "adversarial": ("AdversarialAutoencoder", "aae"),
    "gan": ("GAN",),
    "flow": ("Flow",),
    "boltzmann": ("Boltzmann", "rbm"),
    "moment-matching": ("MomentMatching", "mmd"),
    "diffusion": ("Diffusion",),
    "latent-diffusion": ("LatentDiffusion",),
    "language": ("LanguageModel", "languagemodel", "lm"),
    "autoregressive": ("AutoregressiveModel", "ar", "forecaster"),
}


def seconds(text: str | None) -> float | None:
    """``300``, ``90s``, ``5m``, ``1h30m`` in seconds.

    Raises:
        InvalidParameter: If it is no length of time above zero.
    """
    if text is None:
        return None
    word = text.strip().lower().replace(" ", "")
    if not re.fullmatch(r"(\d+(\.\d+)?(s|min|m|h)?)+", word):
        raise InvalidParameter(f"--time-budget {text!r} is no length of time: write 90s, 5m, 1h30m, or 300 for seconds")
    found = re.findall(r"(\d+(?:\.\d+)?)(s|min|m|h)?", word)
    total = sum(float(number) * UNITS[unit] for number, unit in found)
    if total <= 0:
        raise InvalidParameter(f"--time-budget {text!r} leaves no time: write 90s, 5m, 1h30m, or 300 for seconds")
    return total


def image_size(text: str | None) -> tuple[int, int] | None:
    """``28x28`` (height × width) or ``64`` (square) in pixels.

    Raises:
        InvalidParameter: If it is no size.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+)\s*(?:[x×X,]\s*(\d+))?\s*", text)
    size = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if min(size) < 1:
        raise InvalidParameter(
            f"--image-size {text!r} is no size: write height x width, such as 64x48, or 64 for a square"
        )
    return size


def model_name(text: str) -> str:
    """The estimator that a word means: ``vae``, ``variational`` and ``VariationalAutoencoder`` alike.

    Raises:
        InvalidParameter: If no model has that name.
    """
    word = _letters(text)
    short = word.removesuffix("autoencoder") or "autoencoder"
    for name, (estimator, *others) in MODELS.items():
        if short in (_letters(name), _letters(estimator)) or word in others:
            return estimator
    raise InvalidParameter(f"--model {text!r} is not known: choose one of {models()}")


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


def models() -> str:
    """What ``--model`` can be, in words."""
    return ", ".join(f"{name} ({others[0]})" if others else name for name, (_, *others) in MODELS.items())


def names_in(given: Sequence[str], known: Sequence[str], option: str) -> list[str]:
    """The columns that an option names: repeated, or several with commas between them.

    Raises:
        InvalidParameter: If there is no such column.
    """
    found: list[str] = []
    for word in given:
        found += [word] if word in known else [part.strip() for part in word.split(",") if part.strip()]
    missing = [name for name in found if name not in known]
    if missing:
        shown = ", ".join(list(known)[:12]) + (" …" if len(known) > 12 else "")
        raise InvalidParameter(f"{option} {', '.join(missing)}: there is no such column; there are {shown}")
    return found


@dataclass(frozen=True)
class Wishes:
    """The parts that were asked for, as they were typed; None or empty: not asked for."""

    model: str = "autoencoder"
    code_size: int | None = None
    network: str | None = None
    bottleneck: str | None = None
    likelihood: str | None = None
    prior: str | None = None
    objective: str | None = None
    corruption: tuple[str, ...] = ()
    penalty: tuple[str, ...] = ()
    set: tuple[str, ...] = ()


def build(wishes: Wishes, format_: Any, training: Any, seed: int) -> Any:
    """The estimator that was asked for.

    A named model that has no parameter for a part that was asked for becomes an `Autoencoder` with the named model's
    parts and that one: parts combine freely.

    Args:
        wishes: What was typed.
        format_: The format with its options.
        training: Settings of the loop.
        seed: For equal runs.

    Returns:
        The estimator, not fitted.

    Raises:
        InvalidParameter: If a word means nothing, or parts do not go together.
    """
    from narrows import estimators

    kind = getattr(estimators, model_name(wishes.model))
    own = set(kind._get_param_names())
    asked = _parts(wishes)
    common = {"code_size": wishes.code_size, "format": format_, "training": training, "random_state": seed}
    if not issubclass(kind, estimators.BaseAutoencoder):
        return _with_set(_generator(kind, own, common, asked, wishes), wishes.set)
    if asked.keys() <= own and not wishes.penalty:
        return _with_set(kind(**common, **asked), wishes.set)
    # --set reaches the named model's own parameters (beta, target, …) before its parts are taken
    mine = [s for s in wishes.set if _target(s) in own - set(common)]
    base = _with_set(kind(**common, **{n: p for n, p in asked.items() if n in own}), mine)
    choices = base.choices()
    names = ("network", "bottleneck", "likelihood", "corruption", "prior", "objective")
    parts = {name: asked.get(name, getattr(choices, name)) for name in names}
    parts["penalties"] = _penalties(wishes, choices.penalties, parts["bottleneck"])
    combined = estimators.Autoencoder(**common, **parts)
    return _with_set(combined, [s for s in wishes.set if s not in mine])


def _generator(kind: Any, own: set[str], common: dict[str, Any], asked: dict[str, Any], wishes: Wishes) -> Any:
    """A model that is no autoencoder: its parts are its own, and combine with no others."""
    given = {name: value for name, value in {**common, **asked}.items() if value is not None}
    other = sorted(given.keys() - own) + (["penalty"] if wishes.penalty else [])
    if other:
        options = ", ".join("--" + name.replace("_", "-") for name in other)
        raise InvalidParameter(
            f"{options}: a {kind.__name__} has no such part; --set NAME=VALUE knows {', '.join(sorted(own))}"
        )
    return kind(**given)


def _parts(wishes: Wishes) -> dict[str, Any]:
    from narrows import bottlenecks, corruptions, likelihoods, networks, objectives, priors

    rooms = {
        "network": networks.Network,
        "bottleneck": bottlenecks.Bottleneck,
        "likelihood": likelihoods.Likelihood,
        "prior": priors.Prior,
        "objective": objectives.Objective,
    }
    found: dict[str, Any] = {}
    for name, room in rooms.items():
        text = getattr(wishes, name)
        if text is not None:
            found[name] = room.parse(text)  # type: ignore[attr-defined]
    chain = tuple(corruptions.Corruption.parse(text) for text in wishes.corruption)
    if chain:
        found["corruption"] = chain[0] if len(chain) == 1 else corruptions.Chain(chain)
    return found


def _penalties(wishes: Wishes, base: Any, bottleneck: Any) -> Any:
    from narrows.penalties import KL, Penalties, Penalty, as_penalties

    named: dict[str, Any] = dict(as_penalties(base))
    if not named and bottleneck is not None and bottleneck.stochastic:
        named["kl"] = KL()
    for text in wishes.penalty:
        match = re.fullmatch(r"([A-Za-z_]\w*)=(.+)", text)
        word = match[2] if match else text
        penalty = None if word.lower() == "none" else Penalty.parse(word)
        name = match[1] if match else type(penalty).__name__.lower()
        named[name] = penalty
    chosen = Penalties(**named)
    chosen.check()
    return chosen


def _target(text: str) -> str:
    return text.partition("=")[0].strip().replace("-", "_").partition("__")[0]


def _with_set(model: Any, words: Sequence[str]) -> Any:
    from narrows._part import literal

    params = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidParameter(f"--set {word!r} sets nothing: write --set name=value, such as --set beta=4")
        name = name.strip().replace("-", "_")
        room = _room(type(model), name)
        params[name] = literal(value.strip()) if room is None else room.parse(value.strip())
    return model.set_params(**params) if params else model


def _room(kind: Any, name: str) -> Any:
    """The kind of part that a parameter is, where it is one that is chosen by name."""
    import typing

    from narrows._part import Part

    hint = typing.get_type_hints(kind.__init__).get(name)
    for one in typing.get_args(hint) or (hint,):
        if isinstance(one, type) and issubclass(one, Part) and one is not Part and inspect.isabstract(one):
            return one
    return None
