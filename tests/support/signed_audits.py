"""A real audit that was really signed and packed, and statements as forgers would like them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from nnperm_mlflow.attestation.bundle_files import statement_name
from nnperm_mlflow.attestation.envelopes import open_envelope, seal
from nnperm_mlflow.attestation.statements import (
    DecisionPredicate,
    DecisionStatement,
    OnDecisions,
    OnVerdict,
    PromotionPredicate,
    PromotionStatement,
    Statement,
    resource,
    stamp_now,
)
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.audit_record import AuditRecord
from tests.support.signers import REGISTRY, TrustFile, key_of

POLICY = Policy.model_validate(
    {"format": 2, "name": "limits", "checks": [{"name": "age is no driver", "feature": "age", "max": 0.9}]}
)


@dataclass(frozen=True)
class Packed:
    """A folder that is a bundle, and what it is of."""

    folder: Path
    record: AuditRecord

    def sealed(self, kind):
        """The only envelope of a type."""
        (path,) = self.folder.glob(f"{kind}-*")
        return open_envelope(path.read_bytes())

    def copy(self, target):
        """A copy of it that may be changed."""
        shutil.copytree(self.folder, target)
        return Packed(target, self.record)

    def trust(self):
        """A trust file that asks for what this is."""
        return TrustFile.of(self.record.model.split("/")[1], self.record, POLICY)

    def place(self, **changed):
        """What each statement names."""
        _, model, version = self.record.model.split("/")
        return {"registry": REGISTRY, "model": model, "version": version, "at": stamp_now(), **changed}

    def subject(self):
        """The version, by the digest of its files."""
        return (resource(self.record.model, self.record.param("model_digest")),)

    def add(self, kind, statement, by):
        """Put a signed statement into it; return the sha256 of the statement."""
        payload = statement.encode() if isinstance(statement, Statement) else statement
        sealed = seal(payload, key_of(by))
        (self.folder / statement_name(kind, sealed)).write_bytes(sealed.content)
        return sealed.digest

    def replace(self, kind, statement, by):
        """Put a signed statement into the place of the one of its type."""
        (path,) = self.folder.glob(f"{kind}-*")
        path.unlink()
        return self.add(kind, statement, by)

    def decision(self, act="request", request=None, *, on=None, **changed):
        """What a person asks for, or answers."""
        audit, verdict = on or (self.sealed("audit").digest, self.sealed("verdict").digest)
        rests_on = OnVerdict(audit=audit, verdict=verdict, request=request)
        told = {"alias": "champion", "act": act, "reason": "as agreed", "rests_on": rests_on}
        return DecisionStatement(
            subject=self.subject(), predicate=DecisionPredicate(**self.place(), **{**told, **changed})
        )

    def promotion(self, decisions=(), **changed):
        """What a promoter says."""
        audit, verdict = self.sealed("audit").digest, self.sealed("verdict").digest
        told = {"alias": "champion", "number": 1, **changed}
        rests_on = OnDecisions(audit=audit, verdict=verdict, decisions=tuple(decisions))
        at = {key: told.pop(key) for key in ("at", "version") if key in told}
        predicate = PromotionPredicate(**self.place(**at), **told, rests_on=rests_on)
        return PromotionStatement(subject=self.subject(), predicate=predicate)
