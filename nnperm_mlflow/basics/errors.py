"""What can go wrong in an audit: each error says what was expected, what came instead and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from nnperm_mlflow.basics.locations import without_secrets_in


class AuditError(Exception):
    """An audit that cannot be done, or not finished; the message is meant for the person who asked for it.

    URIs in it are shown without what is secret in them.

    Attributes
    ----------
    lines : tuple of str
        The message line by line, where it tells several things; a name in one of them may itself hold a line's end.
    """

    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return without_secrets_in(super().__str__())


class ConfigError(AuditError):
    """The configuration is not one that an audit can follow."""


class NoSuchFunctionError(ConfigError):
    """The configuration asks for a function that the model does not have."""


class DataError(AuditError):
    """The data cannot be read, or do not hold what the model takes."""


class ShapeError(DataError):
    """An array does not have the shape that its place asks for."""


class UnknownFeatureError(ConfigError):
    """A name in the configuration is not a feature of the model."""


class RoomError(AuditError):
    """There is not the memory or the disk that the audit would take."""


class ModelError(AuditError):
    """The model cannot be loaded or called."""


class ModelNotFoundError(ModelError):
    """The URI names no model that the tracking store or the disk holds."""


class UntrustedModelError(ModelError):
    """Loading the model would run code that came with it, and nobody has said that it is trusted."""


class PredictionError(ModelError):
    """The model failed on a block of rows, or gave something that is no prediction."""


class LabelsError(PredictionError):
    """The model predicts no numbers, so that there is no distance between two predictions."""


class NonFinitePredictionError(PredictionError):
    """A prediction is NaN or infinite, so that no deviation can be told."""


class TrackingError(AuditError):
    """The tracking store cannot be reached, or does not take what the audit writes."""


class CheckError(AuditError):
    """A check of the policy cannot be answered: it is neither kept nor missed."""


class MissingBaselineError(CheckError):
    """A check compares with a version of which there is no audit to compare with."""


class EvidenceError(AuditError):
    """What is on record of an audit is not there, not whole, or not of what it says."""


class RefusedError(AuditError):
    """A version is not promoted, for want of a verdict that holds.

    Attributes
    ----------
    verdict : Verdict or None
        The one that speaks against it; None where something else does.
    """

    def __init__(self, message: str, verdict: object = None) -> None:
        super().__init__(message)
        self.verdict = verdict


_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")  # the last for what is no name


def says_missing(error: Exception) -> bool:
    """Tell whether MLflow says that there is no such thing; else the server is not well, or denies it.

    Parameters
    ----------
    error : Exception
        A `mlflow.exceptions.MlflowException`.
    """
    return getattr(error, "error_code", None) in _NOT_THERE


def name_list(names: Iterable[object], most: int = 12) -> str:
    """Return `names` quoted and separated by commas, cut after `most` of them with the count of the rest.

    >>> name_list(["age", "dose"])
    "'age', 'dose'"
    """
    quoted = [f"'{name}'" for name in names]
    rest = f" and {len(quoted) - most} more" if len(quoted) > most else ""
    return ", ".join(quoted[:most]) + rest if quoted else "none"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'dose'?"` for the nearest of the `known` names, or an empty string.

    >>> did_you_mean("dosis", ["age", "dose"])
    " Did you mean 'dose'?"
    """
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""
