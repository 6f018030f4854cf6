"""The configuration file as one strict, frozen value; its names are a contract."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from nnperm_mlflow.basics.documents import Strict, read_yaml, validated
from nnperm_mlflow.basics.errors import ConfigError, did_you_mean, name_list
from nnperm_mlflow.basics.locations import is_uri, without_secrets
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.config.data_config import DataConfig, Names
from nnperm_mlflow.config.interactions_config import Interactions
from nnperm_mlflow.config.labels_config import Labels
from nnperm_mlflow.config.policy import Policy, PolicyKeys
from nnperm_mlflow.config.profile_config import Profile
from nnperm_mlflow.config.segments_config import Segments

Scalar = bool | int | float | str
MOST_SHUFFLES = 100_000
"""Repeats that may be asked for; nobody has waited for so many."""
_ORDERS = ("mean", "median", "flipped_share")
ALL: Literal["all"] = "all"
"""Stands for every value that a feature holds."""
CONDITIONAL: Literal["conditional"] = "conditional"
"""Stands for donors that are alike in what a feature goes with, for every feature."""
_LEFT_TO_TRIALS = ("seed", "repeats", "precision", "max_repeats", "block_rows", "order_by")
_LATER_KEYS = {"segments", "predict", "rows", "max_rows", "interactions", "donors", "out_of_data"}
_DISTURBANCE = {
    "seed", "rare_below", "set", "kinds", "groups", "windows", "order", "within", "output", "missing",
}  # fmt: skip


Step = Annotated[int, Field(ge=1)]
"""A step of a series, counted from 1."""


class AnalysisConfig(Strict):
    """What is disturbed, how often, and what of the prediction is looked at.

    Attributes
    ----------
    repeats : int or "auto"
        Shuffles of each feature; "auto" goes on until the intervals of what leads, and of what checks rest on, are
        narrow enough.
    precision : float or None
        How wide these intervals may be, in the unit of the prediction; "auto" of repeats needs it, that of rows needs
        it or checks.
    max_repeats : int or None
        With "auto" most shuffles of each feature; 50 where nothing is said.
    rows : int, "auto" or None
        Audit a random sample of at least so many rows, whole batches of 2,048; "auto" takes further batches until the
        intervals are narrow enough, or without a precision until each check is decided. None audits all.
    max_rows : int or None
        With "auto" most rows, all where nothing is said.
    seed : int
        Key of all shuffles, and of the sample.
    block_rows : int or "auto"
        Most rows of one model call; changes no number.
    rare_below : float
        A binary or categorical feature is also set to each value held by a smaller share of rows; 0 turns it off.
    set : dict
        For a feature, values to set its whole column to; "all" stands for each that it holds.
    groups : dict or "auto"
        For a name of one's own, features to disturb together, with one donor for all; "auto" finds features that are
        associated.
    associated_above : float
        From which association (rank correlation, Cramer's V, correlation ratio) features are pointed out.
    windows : int, dict or None
        Temporal occlusion: into how many windows the steps of each series are cut, or for each window its first and
        last step, from 1.
    order : bool or list of str
        Series, or all of them, whose steps are also put in another order.
    within : list of str
        Columns of the static table; a row's donor has the same values there, as in a conditional importance.
    donors : "conditional", dict or None
        Shuffle features also among rows that are alike in what they go with, beside the plain shuffle; of all that is
        shuffled, or for each feature that is named the features that rows are told apart by.
    exclude : list of str
        Features not to disturb.
    kinds : dict
        For a static feature "number" or "category", where types and values mislead.
    output : int, str or None
        Of several outputs, the one to follow (position or name) or a distance: total_variation, max, l2.
    decision : float, "argmax" or None
        What a classifier decides by: a threshold for the followed output, or the largest of its outputs. None takes
        0.5 for a probability and argmax for a softmax.
    missing : "error" or "skip"
        What happens where the model predicts NaN: the audit ends, or such rows are left out of that perturbation.
    profile : list of str or ProfileConfig
        Features for which the mean prediction is told over a grid of values (partial dependence), or how it goes along
        their values in the rows that hold these (`{kind: ale}`: accumulated local effects).
    interactions : "auto", list of pairs of str, InteractionsConfig or None
        Pairs of features of which it is told what they do together beyond what each does alone; "auto" ranks all pairs
        on a few rows, and follows the first 20 on all.
    scores : list of str
        scikit-learn scorers whose drop is told, where the data have labels: permutation importance.
    p_values : bool
        Test whether the drop of each score is more than chance.
    out_of_data : bool
        Tell how well a learner tells disturbed rows from the data: how far they lie outside of these.
    segments : list of str or dict
        Columns whose values, or bins between edges (`{AGE: [30, 45, 60]}`), part the rows; of each part all is told by
        itself.
    order_by : str or None
        What leads: mean, median, flipped_share or the drop of one of the scores (`roc_auc_drop`). None takes the mean
        of the deviations, or the share of decisions flipped where predictions are classes.
    unit : str or None
        Unit of the prediction, for the axis of the boxplot.
    exact : bool
        Give the model's numbers to the last bit. False lets changes of numbers take a shortcut through the layers of a
        network that are affine in them; the largest difference that was seen is then told.
    random : bool
        Audit a model all the same whose predictions of the same rows differ from call to call, or with the rows beside
        them.
    predict : "predict_proba" or None
        Function of a classifier that is audited instead of the one that MLflow serves: its probabilities, where that
        gives labels.
    """

    repeats: Annotated[int, Field(ge=1, le=MOST_SHUFFLES)] | Literal["auto"] = 1
    precision: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_repeats: Annotated[int, Field(ge=1, le=MOST_SHUFFLES)] | None = None
    rows: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    max_rows: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    block_rows: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    rare_below: Annotated[float, Field(ge=0, le=1)] = 0.05
    set: dict[str, Annotated[list[Scalar], Field(min_length=1)] | Literal["all"]] = {}
    groups: dict[str, Annotated[Names, Field(min_length=1)]] | Literal["auto"] = {}
    associated_above: Annotated[float, Field(gt=0, le=1)] = 0.7
    windows: (
        Annotated[int, Field(ge=1)] | dict[str, Annotated[list[Step], Field(min_length=2, max_length=2)]] | None
    ) = None
    order: bool | Names = False
    within: Names = []
    donors: (
        Literal["conditional"] | Annotated[dict[str, Annotated[Names, Field(min_length=1)]], Field(min_length=1)] | None
    ) = None
    exclude: Names = []
    kinds: dict[str, Literal["number", "category"]] = {}
    output: Annotated[int, Field(ge=0)] | str | None = None
    decision: Annotated[float, Field(allow_inf_nan=False)] | Literal["argmax"] | None = None
    missing: Literal["error", "skip"] = "error"
    profile: Profile = []
    interactions: Interactions | None = None
    scores: Names = []
    p_values: bool = False
    out_of_data: bool = False
    segments: Segments = []
    order_by: str | None = None
    unit: str | None = None
    exact: bool = True
    random: bool = False
    predict: Literal["predict_proba"] | None = None

    @model_serializer(mode="wrap")
    def _as_before_without_later_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out what came later where it is not asked for, so that digests stay what they were."""
        return {key: value for key, value in handler(self).items() if key not in _LATER_KEYS or value}

    @field_validator("windows")
    @classmethod
    def _steps_in_order(
        cls, windows: int | dict[str, tuple[int, int]] | None
    ) -> int | dict[str, tuple[int, int]] | None:
        if isinstance(windows, dict):
            for label, (first, last) in windows.items():
                if not label.strip():
                    raise ValueError("a window needs a name")
                if first > last:
                    raise ValueError(f"window '{label}' ends before it begins: give [first step, last step]")
        return windows

    @model_validator(mode="after")
    def _what_goes_together(self) -> AnalysisConfig:
        if self.repeats == "auto" and self.rows == "auto":
            raise ValueError(
                "'repeats: auto' and 'rows: auto' cannot both go on until intervals are narrow: say one of the two. "
                "More rows narrow every interval, more repeats only what shuffles leave to chance"
            )
        if self.repeats == "auto" and self.precision is None:
            raise ValueError("'repeats: auto' needs 'precision': how wide an interval may be")
        if self.precision is not None and "auto" not in (self.repeats, self.rows):
            raise ValueError("'precision' goes with 'repeats: auto' or 'rows: auto', which go on until it is reached")
        if self.max_rows is not None and self.rows != "auto":
            raise ValueError("'max_rows' goes with 'rows: auto'; otherwise 'rows' says how many")
        if self.p_values and self.rows == "auto":
            raise ValueError("'p_values' hold for a number of rows that is fixed beforehand: say how many under 'rows'")
        if self.max_repeats is not None and self.repeats != "auto":
            raise ValueError("'max_repeats' goes with 'repeats: auto'; otherwise 'repeats' says how many")
        if self.p_values and not self.scores:
            raise ValueError("'p_values' needs 'scores' to test")
        known = [*_ORDERS, *(f"{score}_drop" for score in self.scores)]
        if self.order_by is not None and self.order_by not in known:
            raise ValueError(
                f"'order_by: {self.order_by}' is none of {name_list(known)}; a drop needs its score under 'scores'."
                f"{did_you_mean(self.order_by, known)}"
            )
        return self

    @property
    def stops_by_verdict(self) -> bool:
        """Whether further rows are taken until each check is decided."""
        return self.rows == "auto" and self.precision is None

    @property
    def drawing(self) -> Literal["cycles", "permutations"] | None:
        """How donors are drawn in strata, batches and subgroups, which is otherwise where shuffles are tested."""
        if not self.within and self.rows is None and self.donors is None:
            return None
        return "permutations" if self.p_values else "cycles"


class _Work(Strict):
    """What an audit does; a class of its own so that these keys come before those of the policy."""

    model: str | None = None
    data: DataConfig = DataConfig()
    inputs: dict[str, str | Annotated[list[str], Field(min_length=1)]] = {}
    analysis: AnalysisConfig = AnalysisConfig()
    labels: Labels = {}


class AuditConfig(PolicyKeys, _Work):
    """All that an audit is asked to do, its approval policy included; see `load_config` for reading one from a file.

    What features are called (`labels`) is for people alone, and part of no digest of what is done.
    """

    @property
    def policy(self) -> Policy:
        """What a version must keep to be approved."""
        return Policy(**{name: getattr(self, name) for name in Policy.model_fields})

    def with_policy(self, policy: Policy) -> AuditConfig:
        """Return the configuration with another policy."""
        return self.model_copy(update={name: getattr(policy, name) for name in Policy.model_fields})

    def with_repeats(self, repeats: int) -> AuditConfig:
        """Return a configuration that makes exactly so many shuffles of each feature."""
        exactly: dict[str, object] = {"repeats": repeats, "max_repeats": None}
        if self.analysis.repeats == "auto":
            exactly["precision"] = None
        return self.model_copy(update={"analysis": self.analysis.model_copy(update=exactly)})

    def with_rows(self, rows: int | None) -> AuditConfig:
        """Return a configuration that audits a sample of exactly so many rows; None leaves it as it is."""
        if rows is None:
            return self
        exactly: dict[str, object] = {"rows": rows, "max_rows": None}
        if self.analysis.rows == "auto":
            exactly["precision"] = None
        return self.model_copy(update={"analysis": self.analysis.model_copy(update=exactly)})

    def with_seed(self, seed: int) -> AuditConfig:
        """Return a configuration whose shuffles have another key."""
        return self.model_copy(update={"analysis": self.analysis.model_copy(update={"seed": seed})})

    def without_labels(self) -> AuditConfig:
        """Return the configuration for a model that may not have what is called something here."""
        return self.model_copy(update={"labels": {}})

    def without_secrets(self) -> AuditConfig:
        """Return the configuration with URLs that show neither user nor password nor query."""
        return _with_locations(self, without_secrets)

    def to_yaml(self) -> str:
        """Return the configuration as YAML, defaults filled in."""
        unsaid = set() if self.labels else {"labels"}  # as before there were any
        asked = self.model_dump(mode="json", exclude={*Policy.model_fields, *unsaid})
        written = {**asked, "format": self.format, **self.policy.as_dict(), "mode": self.mode}
        return yaml.safe_dump(written, sort_keys=False, allow_unicode=True)

    def disturbance(self) -> dict[str, object]:
        """Return what two audits must have in common for their deviations to be compared row by row."""
        asked = self.analysis.model_dump(mode="json", include=_DISTURBANCE)
        is_sample = self.analysis.rows is not None  # whose donors come from their batch
        also = {"cluster": self.data.cluster, "donors": self.analysis.drawing, "predict": self.analysis.predict}
        return {**asked, **also, "sample": is_sample, "conditional": self.analysis.donors}

    def digest(self) -> str:
        """Return the sha256 (64 hex digits) of what is done: analysis, inputs and histories, wherever the files are.

        The label belongs to it where there are scores, the column of clusters where there is one, and what leads where
        that decides how often.
        """
        decides = "auto" in (self.analysis.repeats, self.analysis.rows)
        return self._digest(() if decides else ("order_by",))

    def design_digest(self) -> str:
        """Return the sha256 (64 hex digits) of what is done, but for what a trial fixes by itself: seed and repeats.

        It is that of an audit which was made with the configuration, in which what was found out is filled in.
        """
        kept = {"precision"} if self.analysis.rows == "auto" else set()
        return self._digest([key for key in _LEFT_TO_TRIALS if key not in kept])

    def _digest(self, left_out: Sequence[str]) -> str:
        """Return the sha256 of what is done, without some keys of the analysis."""
        done = self.model_dump(mode="json", include={"analysis", "inputs"})
        for key in left_out:
            del done["analysis"][key]
        if self.analysis.scores:
            done["label"] = self.data.label
        if self.data.cluster is not None:
            done["cluster"] = self.data.cluster
        done["temporal"] = {name: spec.as_told() for name, spec in self.data.temporal.items()}
        return hashlib.sha256(json.dumps(done, sort_keys=True).encode()).hexdigest()


def load_config(path: str | Path) -> AuditConfig:
    """Read a configuration file; relative paths in it are taken relative to the file.

    Parameters
    ----------
    path : str or Path
        A YAML file.

    Returns
    -------
    AuditConfig
        With absolute paths.

    Raises
    ------
    ConfigError
        If the file is missing, is no YAML, has an unknown key (the nearest known one is named) or a wrong value.
    """
    path = local_path(path, "the configuration")
    return parse_config(read_yaml(path, "the configuration"), str(path), path.resolve().parent)


def parse_config(content: object, origin: str = "the configuration", base: Path | None = None) -> AuditConfig:
    """Check a configuration given as nested dicts and lists.

    Parameters
    ----------
    content : object
        What the file holds.
    origin : str
        How messages name the file.
    base : Path, optional
        Directory that relative paths are relative to; where it is left out they stay as they are.

    Returns
    -------
    AuditConfig

    Raises
    ------
    ConfigError
        With one line for each thing that is wrong.
    """
    config = validated(AuditConfig, content, origin)
    return config if base is None else _with_absolute_paths(config, base)


def _with_absolute_paths(config: AuditConfig, base: Path) -> AuditConfig:
    return _with_locations(config, lambda location: location if is_uri(location) else str(base / _expanded(location)))


def _with_locations(config: AuditConfig, change: Callable[[str], str]) -> AuditConfig:
    """Return a configuration in which every location is changed."""
    data = config.data
    temporal = {
        name: spec.model_copy(update={"file": spec.file and change(spec.file)}) for name, spec in data.temporal.items()
    }
    changed = data.model_copy(update={"static": data.static and change(data.static), "temporal": temporal})
    return config.model_copy(update={"data": changed})


def _expanded(location: str) -> Path:
    try:
        return Path(location).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"the path '{location}' begins with a home directory that is not there.") from error
