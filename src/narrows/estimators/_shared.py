"""What every estimator does alike: check parameters, draw a seed, tell scikit-learn of its columns."""

from __future__ import annotations

import typing
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from narrows._part import Part, check_value
from narrows.errors import InvalidParameter


def check_params(estimator: Any) -> None:
    """Check an estimator's parameters against the annotations of its constructor, parts among them included.

    Raises:
        InvalidParameter: Naming the parameter, its value and what it must be.
    """
    hints = typing.get_type_hints(type(estimator).__init__, include_extras=True)
    for name, value in estimator.get_params(deep=False).items():
        check_value(type(estimator).__name__, name, value, hints.get(name, Any))
        if isinstance(value, Part):
            value.check()


def describe_features(estimator: Any, format_: Any) -> None:
    """Set what scikit-learn wants to know of the data: ``n_features_in_``, and ``feature_names_in_`` or none."""
    estimator.n_features_in_ = format_.n_features
    if format_.feature_names is not None:
        estimator.feature_names_in_ = np.array(format_.feature_names, dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def draw_seed(random_state: Any) -> int:
    """One whole number from what scikit-learn calls a random state.

    Args:
        random_state: A whole number; a numpy generator, which moves on by one draw; or None for a number that no
            generator of the caller's has a part in (scikit-learn would draw it from numpy's global one).

    Raises:
        InvalidParameter: If it is none of these.
    """
    if random_state is None:
        random_state = np.random.RandomState()
    try:
        state = check_random_state(random_state)
    except (TypeError, ValueError) as error:
        raise InvalidParameter(
            f"random_state={random_state!r}: give a whole number from 0 to {np.iinfo(np.uint32).max}, a "
            "numpy.random.RandomState, or None"
        ) from error
    return int(state.randint(np.iinfo(np.int32).max))
