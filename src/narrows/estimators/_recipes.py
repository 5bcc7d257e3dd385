"""Parameters of estimators as plain JSON and back, unfitted models among them included."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from sklearn.base import BaseEstimator

from narrows._part import decode, encode
from narrows.errors import SavedModelError
from narrows.estimators._base import BaseModel


def encode_params(estimator: BaseEstimator, seed: int | None) -> dict[str, Any]:
    """An estimator's parameters as plain JSON.

    Args:
        estimator: The estimator.
        seed: What takes the place of a random generator, which no file can hold.
    """
    params = estimator.get_params(deep=False)
    if not isinstance(params["random_state"], (Integral, type(None))):
        params["random_state"] = seed
    return {name: _plain(value) for name, value in params.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {"estimator": type(value).__name__, "params": encode_params(value, None)}
    return encode(value)


def decode_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that `encode_params` made plain.

    Raises:
        SavedModelError: If a model among them is of no known kind.
    """
    return {name: _value(value) for name, value in params.items()}


def _value(value: Any) -> Any:
    if isinstance(value, Mapping) and "estimator" in value:
        return model_kind(value["estimator"])(**decode_params(value["params"]))
    return decode(value)


def model_kind(name: Any) -> type[BaseModel]:
    """The kind of model that a file names.

    Raises:
        SavedModelError: If there is none of that name.
    """
    kinds = estimators()
    if name not in kinds:
        raise SavedModelError(f"unknown estimator {name!r}; known: {', '.join(sorted(kinds))}")
    return kinds[name]


def estimators() -> dict[str, type[BaseModel]]:
    """The estimators that are models of rows, by name."""
    bases, found = [BaseModel], {}
    for base in bases:
        bases += base.__subclasses__()
        found.update({kind.__name__: kind for kind in base.__subclasses__() if not inspect.isabstract(kind)})
    return found
