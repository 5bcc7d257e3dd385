"""Errors and warnings of the whole project.

Every error derives from [`NarrowsError`][narrows.errors.NarrowsError] and, where scikit-learn expects it, from
``ValueError`` or ``TypeError``. A message says what was given, why it cannot be used, and what to type instead.
"""

from __future__ import annotations


class NarrowsError(Exception):
    """Base of every error that narrows raises on purpose."""


class InvalidParameter(NarrowsError, ValueError):
    """A parameter of a part or an estimator has a value that cannot be used."""


class InvalidData(NarrowsError, ValueError):
    """The data cannot be used: empty, infinite, of the wrong width, with the wrong columns."""


class InvalidType(NarrowsError, TypeError):
    """The data is of a type that cannot be read."""


class UnreadableFile(InvalidData):
    """A source file is missing, damaged, or of a kind that is not known."""


class SavedModelError(NarrowsError, ValueError):
    """A saved model is truncated, tampered with, of a newer version, or names an unknown part."""


class TrainingFailed(NarrowsError, RuntimeError):
    """Training could not go on: it diverged again and again, or the checkpoint belongs to another run."""


class WorkerDied(NarrowsError, RuntimeError):
    """A process that a part of the work was given to was killed, or ran out of memory."""


class MissingExtra(NarrowsError, ImportError):
    """An optional dependency is not installed; the message names the extra to install."""


class DiskFull(NarrowsError, OSError):
    """There is no room left for what is to be written."""


class NarrowsWarning(UserWarning):
    """Base of every warning that narrows gives."""


class DataWarning(NarrowsWarning):
    """Something in the data was changed or left out so that it could be used."""


class TrainingWarning(NarrowsWarning):
    """Training did something the user should know of: a rollback, a budget that cut it short."""
