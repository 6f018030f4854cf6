"""What others refuse, in words: MLflow, its database, the stores of artifacts, the disk."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from nnperm_mlflow.basics.errors import TrackingError
from nnperm_mlflow.basics.locations import without_secrets, without_secrets_in

logger = logging.getLogger(__name__)

_MOST_MESSAGE = 500  # characters of what MLflow says
_STORE_CLIENTS = ("azure", "boto3", "botocore", "google", "s3transfer")
"""Packages by which MLflow reaches stores of artifacts; it lets their errors through."""

_BROKEN = re.compile(r"API request to (?P<address>\S+) failed with ")  # as MLflow begins what its client ran into,
_CAUSE = re.compile(r"Caused by (\w+)")  # and goes on
_FILE_STORE = "MLFLOW_ALLOW_FILE_STORE"  # what it tells to set where it refuses one
_READ_ONLY = "attempt to write a readonly database"  # as sqlite says, somewhere in what MLflow passes on


@contextmanager
def explained() -> Iterator[None]:
    """Turn whatever MLflow, its database or the disk refuse within the block into one `TrackingError` in a line."""
    try:
        yield
    except MlflowException as error:
        raise TrackingError(_of_mlflow(error)) from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        store = without_secrets(str(mlflow.get_tracking_uri()))
        raise TrackingError(f"the database {store} cannot be used ({type(error).__name__}). Is it MLflow's?") from error
    except ImportError as error:
        raise TrackingError(f"the package '{error.name}' is needed here and not installed: pip install it.") from error
    except requests.RequestException as error:
        raise TrackingError(_of_server(error)) from error
    except OSError as error:
        raise TrackingError(_of_system(error)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _STORE_CLIENTS:
            raise
        raise TrackingError(
            f"the store of artifacts refused ({type(error).__name__}): {_first_line(error)} Is it running, and may you "
            "write there?"
        ) from error


def _of_mlflow(error: MlflowException) -> str:
    if _READ_ONLY in str(error):
        store = without_secrets(str(mlflow.get_tracking_uri()))
        return f"the database {store} may only be read here. Ask for the right to write, or name another store."
    if _FILE_STORE in str(error):
        return (
            "MLflow takes no directory of files for a tracking store any more. Move it into a database (mlflow "
            "migrate-filestore) and name that (--tracking-uri sqlite:////path/to/mlflow.db, or MLFLOW_TRACKING_URI), "
            f"or go on with it by {_FILE_STORE}=true in the environment."
        )
    said = _first_line(error)
    broken = _BROKEN.match(said)
    if broken is None:
        return f"MLflow refused ({error.error_code}): {said}"
    otherwise = "Timeout" if "timeout" in said else "connection broken"
    cause = next(iter(_CAUSE.findall(said)), otherwise)
    return (
        f"the MLflow server gave no answer, or only errors, at {broken['address']} ({cause}). Is it running and well?"
    )


def _of_server(error: requests.RequestException) -> str:
    if error.response is None:
        return f"the server did not answer ({type(error).__name__}). Is it running?"
    answer, address = error.response, without_secrets(error.response.url.partition("?")[0])
    return f"the server refused ({answer.status_code} {answer.reason}) at {address}. Is it well, and may you do that?"


def _of_system(error: OSError) -> str:
    where = f" at '{error.filename}'" if error.filename else ""
    return (
        f"the disk or the network refused{where}: {error.strerror or type(error).__name__}. Make room or mend the "
        "connection, and run the audit again."
    )


def _first_line(error: Exception) -> str:
    """Return the first line of what an error says, cut after a sentence where it is long, and without passwords."""
    said = without_secrets_in(next(iter(str(error).splitlines()), ""))
    whole, _, _ = said[:_MOST_MESSAGE].rpartition(". ")
    return said if len(said) <= _MOST_MESSAGE else f"{whole}." if whole else f"{said[:_MOST_MESSAGE]}..."


def refused(error: MlflowException | requests.HTTPError, what: str) -> str:
    """Return, and log, what could not be written for want of permission; any other error is raised again.

    Parameters
    ----------
    error : MlflowException or HTTPError
        A server refuses tags and metrics with the one, and files with the other.
    what : str
    """
    if not _is_for_want_of_permission(error):
        raise error
    logger.warning("you may not write %s: the audit does not show there", what)
    return what


def _is_for_want_of_permission(error: MlflowException | requests.HTTPError) -> bool:
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code == requests.codes.forbidden
    return bool(error.error_code == "PERMISSION_DENIED")
