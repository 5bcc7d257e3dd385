"""What estimators share that do a job with models: parameters, rows in, files out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator
from sklearn.utils import Tags

from narrows._part import Part, nested_params, replace_params
from narrows._types import Rows
from narrows.data import Table
from narrows.errors import InvalidData, InvalidParameter
from narrows.estimators._base import NotFitted
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._shared import check_params
from narrows.estimators._streams import fitted_format
from narrows.training import Training


class TaskEstimator(BaseEstimator):
    """Base of the estimators that do a job with a model, or several, rather than being one.

    Attributes:
        format_: The fitted format: raw tables to rows and back.
        seed_: The seed that was used.
        reasons_: In words, what was done.
        n_features_in_: Columns of the table; set last of all, when nothing can fail any more.
        feature_names_in_: Their names, where they have names.
    """

    #: The kinds of data that it takes.
    FORMATS: ClassVar[tuple[type[Part], ...]] = (Table,)

    format_: Any
    seed_: int
    reasons_: list[str]
    n_features_in_: int

    # --- parameters ------------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with ``deep``, those of the parts and of the model too, as ``outer__inner``."""
        params = super().get_params(deep=False)
        if not deep:
            return params
        model = params.get("model")
        inner = model.get_params() if isinstance(model, BaseAutoencoder) else {}
        return {**nested_params(params), **{f"model__{name}": value for name, value in inner.items()}}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name. ``training__epochs=5`` works where ``training`` was left at None too.

        Raises:
            InvalidParameter: If a name is unknown.
        """
        own = self.get_params(deep=False)
        for_model = {k.partition("__")[2]: v for k, v in params.items() if k.startswith("model__")}
        rest = {k: v for k, v in params.items() if not k.startswith("model__")}
        defaults: dict[str, Part] = {"training": Training(), "format": Table(scaling="standard")}
        for name in rest:
            outer, nested, _ = name.partition("__")
            if nested and own.get(outer, self) is None and outer in defaults:
                own[outer] = defaults[outer]
        for name, value in replace_params(own, rest, of=type(self).__name__).items():
            setattr(self, name, value)
        if for_model:
            model = own.get("model")
            if not isinstance(model, BaseAutoencoder):
                raise InvalidParameter(f"model__{next(iter(for_model))}: model is {model!r}, without parameters")
            model.set_params(**for_model)
        return self

    def _check_params(self) -> None:
        check_params(self)
        name, given = type(self).__name__, self.get_params(deep=False)
        format_, model = given.get("format"), given.get("model")
        if format_ is not None and not isinstance(format_, self.FORMATS):
            kinds = "tables" if (Table,) == self.FORMATS else "tables or series"
            raise InvalidParameter(f"{name}(format={format_!r}) is not for {kinds}: use narrows.data.Table(…)")
        if model is not None and not isinstance(model, BaseAutoencoder):
            raise InvalidParameter(
                f"{name}(model={model!r}): give an unfitted narrows estimator such as "
                f"narrows.VariationalAutoencoder(), or None; for a fitted one there is {name}.from_model"
            )

    # --- rows ------------------------------------------------------------------------------------------------

    def _open(self, X: Any, most: int, seed: int) -> tuple[Any, Rows]:
        """The fitted format, standardised unless told otherwise, and at least two rows; of a stream about ``most``."""
        options = self.get_params(deep=False).get("format") or Table(scaling="standard")
        format_, X = fitted_format(X, options, most, seed)
        rows = format_.to_rows(X)
        if len(rows) < 2:
            raise InvalidData(f"n_samples={len(rows)}: one sample is not enough to learn from; give at least 2 rows")
        return format_, rows

    def _rows(self, X: Any) -> Rows:
        self._check_fitted()
        return self.format_.to_rows(X, owner=type(self).__name__)

    # --- fitted or not ---------------------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        """Whether it has been fitted or loaded."""
        return hasattr(self, "n_features_in_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            name = type(self).__name__
            other = f", {name}.from_model," if hasattr(self, "from_model") else ""
            raise NotFitted(f"this {name} is not fitted yet: call fit(X) first{other} or narrows.load(folder)")

    def _models(self) -> list[BaseAutoencoder]:
        """The fitted models that it holds."""
        return []

    def save(self, folder: str | os.PathLike[str], metrics: dict[str, Any] | None = None) -> Path:
        """Write what was fitted into a folder, to be read by ``narrows.load``.

        Args:
            folder: Where to; made if it is missing.
            metrics: Numbers to keep with it, such as a report's.

        Returns:
            The folder.
        """
        from narrows.estimators._files import save

        self._check_fitted()
        return save(self, Path(folder), metrics)

    def __sklearn_tags__(self) -> Tags:
        """Blanks and categories are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def fitted_model(model: Any) -> BaseAutoencoder:
    """The model itself, if it is a fitted one.

    Raises:
        InvalidParameter: If it is not.
    """
    if not isinstance(model, BaseAutoencoder) or not model.__sklearn_is_fitted__():
        raise InvalidParameter(f"{model!r} is no fitted narrows estimator: call its fit(X) first")
    return model
