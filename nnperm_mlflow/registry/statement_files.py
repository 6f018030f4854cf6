"""Envelopes in the run of an audit, written once each and never over another."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Run

from nnperm_mlflow.attestation.bundle_files import kind_of, statement_name
from nnperm_mlflow.attestation.envelopes import MOST_BYTES, Sealed, open_envelope
from nnperm_mlflow.basics.audit_files import STATEMENTS_FOLDER
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.evidence.audit_folder import Files
from nnperm_mlflow.registry.verdicts import log_texts


def log_statement(client: MlflowClient, run: Run, kind: str, sealed: Sealed) -> str:
    """Write an envelope into a run; return the name of its file there.

    Parameters
    ----------
    client : MlflowClient
    run : Run
    kind : str
        "audit", "verdict", "decision" or "promotion".
    sealed : Sealed
    """
    name = f"{STATEMENTS_FOLDER}/{statement_name(kind, sealed)}"
    log_texts(client, run, {name: sealed.content.decode()})
    return name


def statements_in(files: Files) -> list[tuple[str, Sealed]]:
    """Return the envelopes of a run with the types that their names tell; nobody has verified them yet.

    What is no envelope of that name is passed over: whoever may write the run can put anything there.
    """
    found = []
    for path in files.names_in(STATEMENTS_FOLDER):
        name = path.rpartition("/")[2]
        kind = kind_of(name)
        if kind is None:
            continue
        try:
            with files.fetch(path).open("rb") as file:
                sealed = open_envelope(file.read(MOST_BYTES + 1), name)
        except EvidenceError:
            continue
        if statement_name(kind, sealed) == name:
            found.append((kind, sealed))
    return found
