"""Everything that can be wrong is found out before the first row is disturbed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from nnperm_mlflow.analysis.engine.decisions import Decision, choose_decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure, with_positive_class
from nnperm_mlflow.analysis.engine.job import Job, choose_block_rows, count_outputs
from nnperm_mlflow.analysis.engine.missing import find_void_inputs
from nnperm_mlflow.analysis.engine.row_independence import measure_mixing
from nnperm_mlflow.analysis.engine.self_noise import measure_noise
from nnperm_mlflow.analysis.interactions.pair_choice import check_interactions
from nnperm_mlflow.analysis.perturbation.conditional_list import digest_of, with_conditionals
from nnperm_mlflow.analysis.perturbation.deal import point_out_contradictions
from nnperm_mlflow.analysis.perturbation.grouping import Companions, find_companions, point_out
from nnperm_mlflow.analysis.perturbation.kinds import Perturbation
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.perturbation.strata import check_strata, stratify
from nnperm_mlflow.analysis.profiles.profile_grids import check_profiles
from nnperm_mlflow.analysis.profiles.value_intervals import accumulated_features
from nnperm_mlflow.analysis.scores.scorers import Scores, choose_scorers
from nnperm_mlflow.analysis.segments.segmentation import check_segments, part_rows
from nnperm_mlflow.analysis.statistics.order import FLIPS, MEAN
from nnperm_mlflow.analysis.statistics.summary_columns import DONORS, OUT_OF_DATA
from nnperm_mlflow.auditor.elsewhere import RowsElsewhere
from nnperm_mlflow.auditor.identification import identify
from nnperm_mlflow.auditor.label_check import check_labels
from nnperm_mlflow.auditor.memory import Rows
from nnperm_mlflow.auditor.noise import refuse_mixing, refuse_random
from nnperm_mlflow.auditor.plan import DataElsewhere, Plan
from nnperm_mlflow.auditor.sampling import drawn, refuse_endless
from nnperm_mlflow.auditor.training_overlap import training_overlap
from nnperm_mlflow.auditor.trial_terms import refuse_other_design, under_trial
from nnperm_mlflow.basics.errors import ConfigError, DataError
from nnperm_mlflow.basics.problems import Problems
from nnperm_mlflow.config.audit_config import AnalysisConfig, AuditConfig, load_config, parse_config
from nnperm_mlflow.config.interactions_config import interactions_of
from nnperm_mlflow.config.policy import AnyPolicy, Policy, load_policy
from nnperm_mlflow.config.profile_config import accumulated_of, dependence_of
from nnperm_mlflow.config.segments_config import edges_of
from nnperm_mlflow.inputs.binding import bind_inputs, text_columns
from nnperm_mlflow.inputs.bound_inputs import BoundInputs, probe_rows
from nnperm_mlflow.inputs.dataset import Dataset, load_dataset
from nnperm_mlflow.inputs.independence import point_out_dependence
from nnperm_mlflow.inputs.rows_digest import rows_digest
from nnperm_mlflow.inputs.specs import OutputSpec
from nnperm_mlflow.models.class_probabilities import function_of
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.loaders import ModelAccess
from nnperm_mlflow.models.model_signature import columns_by_signature
from nnperm_mlflow.models.model_uri import ModelReference, pin_model
from nnperm_mlflow.models.output_numbers import are_probabilities
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.models.served_network import served_digest
from nnperm_mlflow.registry.artifacts import Fetcher
from nnperm_mlflow.registry.training_data import training_data_of
from nnperm_mlflow.verdict.check_targets import watch
from nnperm_mlflow.verdict.training_rows import TrainingOverlap

_FEWEST_ROWS = 2
_MODEL_SCHEMES = ("models:", "runs:")


def as_config(config: AuditConfig | Mapping[str, object] | str | Path | None) -> AuditConfig:
    """Read or check a configuration, in whatever form it is given."""
    if isinstance(config, AuditConfig):
        return config
    return load_config(config) if isinstance(config, (str, Path)) else parse_config(config or {})


def what_was_asked(
    asked: AuditConfig | Mapping[str, object] | str | Path | None,
    config: AuditConfig | Mapping[str, object] | str | Path | None,
    model_uri: str | None,
) -> tuple[AuditConfig, str | None]:
    """Tell a model from a configuration, of which the first argument of a call may be either.

    Parameters
    ----------
    asked : AuditConfig, mapping, str, Path or None
        A model's URI or directory, or what `config` may be.
    config : AuditConfig, mapping, str, Path or None
    model_uri : str or None

    Returns
    -------
    config : AuditConfig
    model_uri : str or None

    Raises
    ------
    ConfigError
        If two models or two configurations are named, or a directory that holds no model.
    """
    if _is_model(asked):
        if model_uri is not None:
            raise ConfigError(f"two models are named, '{asked}' and '{model_uri}': give one.")
        return as_config(config), str(asked)
    if asked is not None and config is not None:
        raise ConfigError("two configurations are given, as the first argument and as config=...: give one.")
    return as_config(config if asked is None else asked), model_uri


def _is_model(asked: object) -> bool:
    """Tell whether a model is meant, and not a configuration."""
    if not isinstance(asked, (str, Path)):
        return False
    if isinstance(asked, str) and asked.startswith(_MODEL_SCHEMES):
        return True
    try:
        is_directory = Path(asked).is_dir()
    except (OSError, ValueError):  # it is no path at all
        return False
    if not is_directory:
        return False
    if not (Path(asked) / "MLmodel").is_file():
        raise ConfigError(
            f"'{asked}' is a directory: a configuration is a YAML file, and a model's directory holds a file MLmodel."
        )
    return True


def with_policy(config: AuditConfig, policy: AnyPolicy) -> AuditConfig:
    """Return a configuration with another policy, where one is given, in whatever form."""
    if policy is None:
        return config
    return config.with_policy(policy if isinstance(policy, Policy) else load_policy(policy))


def prepare(
    client: MlflowClient,
    config: AuditConfig,
    model_uri: str | None,
    *,
    data: Dataset | Rows | RowsElsewhere | None,
    trust_model: bool,
    scratch: Path,
    isolate: bool = True,
) -> Plan:
    """Load model and data, bind them to each other, and check all that is asked for.

    Parameters
    ----------
    client : MlflowClient
    config : AuditConfig
    model_uri : str or None
        Goes before the configuration's model.
    data : Dataset, Rows, RowsElsewhere or None
        Rows in memory, or on a cluster, instead of the configuration's files.
    trust_model : bool
        Allow code that came with the model to run.
    scratch : Path
        Directory for downloads; must live as long as rows are read.
    isolate : bool
        Run such code in a process of its own, which ends with `Plan.close`.

    Returns
    -------
    Plan

    Raises
    ------
    AuditError
        For whatever would hinder the audit, except what only a row can show.
    """
    config.policy.refuse_expired(datetime.now(timezone.utc).date())
    refuse_endless(config)
    access = ModelAccess(trust_model, isolate)
    try:
        loaded = _load(client, config, model_uri, data=data, access=access, scratch=scratch)
        return _planned(client, loaded, access, trust_model, scratch)
    except BaseException:
        access.close()
        raise


def _planned(client: MlflowClient, loaded: _Loaded, access: ModelAccess, trust_model: bool, scratch: Path) -> Plan:
    """Check all that is asked for on a model and data that are loaded."""
    config = under_trial(
        client, loaded.config, loaded.model_digest, loaded.dataset, scratch, served=loaded.served_digest
    )
    dataset = loaded.dataset
    analysis, uri = config.analysis, loaded.reference.uri
    inputs = loaded.inputs.with_kinds(analysis.kinds)
    companions, perturbations = _choose_perturbations(inputs, analysis, uri, dataset.clusters)
    check_labels(config, inputs, perturbations, dataset.columns)
    void = find_void_inputs(loaded.predictor, inputs, uri, analysis.missing == "skip")
    predictor = loaded.predictor.fitted(inputs.read(probe_rows(dataset.n_rows)), analysis.exact)
    n_outputs = count_outputs(predictor, inputs)
    outputs = _known_outputs(predictor, inputs, n_outputs)
    analysis = analysis.model_copy(update={"output": with_positive_class(analysis.output, outputs, n_outputs)})
    measure = choose_measure(analysis.output, n_outputs, outputs.names)
    noise = measure_noise(predictor, inputs, measure)
    refuse_random(noise, uri, analysis.random)
    decision = choose_decision(analysis.decision, measure, n_outputs, outputs)
    analysis = analysis.model_copy(update={"order_by": _leading(analysis.order_by, decision)})
    scores = _scores(dataset, analysis, outputs, n_outputs, None if analysis.decision is None else decision)
    job = Job(
        predictor=predictor,
        inputs=inputs,
        perturbations=perturbations,
        measure=measure,
        model=uri,
        seed=analysis.seed,
        repeats=1 if analysis.repeats == "auto" else analysis.repeats,
        decision=decision,
        strata=stratify(analysis.within, dataset.columns, dataset.steps),
        clusters=dataset.clusters,
        tests=analysis.p_values,
        skips_missing=analysis.missing == "skip",
        void_inputs=void,
        keeps_predictions=scores is not None,
        in_batches=analysis.rows is not None,
    )
    block_rows = choose_block_rows(job, analysis.block_rows)
    noise = replace(noise, mixing=measure_mixing(predictor, inputs, min(block_rows, choose_block_rows(job, "auto"))))
    refuse_mixing(noise, uri, analysis.random)
    point_out_contradictions(job.deal)
    check_profiles(dependence_of(analysis.profile), job)
    accumulated_features(job, accumulated_of(analysis.profile))
    pairs = interactions_of(analysis.interactions)
    check_interactions(pairs, job)
    segmentations = part_rows(edges_of(analysis.segments), dataset.columns)
    found = {"model": uri, "inputs": dict(inputs.wanted), "analysis": analysis}
    used = config.without_secrets().model_copy(update=found)
    refuse_other_design(used)
    plan = Plan(
        reference=loaded.reference,
        dataset=dataset,
        job=job,
        block_rows=block_rows,
        used=used,
        record=identify(
            loaded.model_digest,
            dataset,
            used,
            noise,
            served=loaded.served_digest,
            trust_model=trust_model,
            model_code=access.code,
            training=loaded.training,
            rows_digest=_rows_digest(loaded, analysis),
            predicted_by=loaded.predicted_by,
            subgroups=digest_of(perturbations),
        ),
        noise=noise,
        companions=companions,
        scores=scores,
        watched=watch(
            config.policy,
            perturbations,
            [] if scores is None else scores.names,
            uri,
            {each.column: each.names for each in segmentations},
            p_values=analysis.p_values,
            also=[
                *([DONORS] if analysis.donors is not None else []),
                *([OUT_OF_DATA] if analysis.out_of_data else []),
            ],
            pairs=None if pairs is None else pairs.pairs,
        ),
        outputs=outputs,
        segmentations=segmentations,
        close=access.close,
        elsewhere=loaded.elsewhere,
    )
    return drawn(plan)


def _rows_digest(loaded: _Loaded, analysis: AnalysisConfig) -> str | None:
    """Return the digest of the rows, where all are audited."""
    if loaded.elsewhere is not None:
        return loaded.dataset.digest()
    return rows_digest(loaded.dataset) if analysis.rows is None else None


@dataclass(frozen=True)
class _Loaded:
    """A model and the data that it shall predict."""

    config: AuditConfig
    reference: ModelReference
    model_digest: str
    predicted_by: str | None
    served_digest: str
    predictor: Predictor
    dataset: Dataset
    inputs: BoundInputs
    training: TrainingOverlap | None
    elsewhere: DataElsewhere | None = None


def _load(
    client: MlflowClient,
    config: AuditConfig,
    model_uri: str | None,
    *,
    data: Dataset | Rows | RowsElsewhere | None,
    access: ModelAccess,
    scratch: Path,
) -> _Loaded:
    """Load model and data, and bind them to each other."""
    asked = model_uri or config.model
    if not asked:
        raise ConfigError("no model is named: give a URI (--model-uri models:/credit/3), or 'model:' in the config.")
    reference = pin_model(client, asked)
    (scratch / "model").mkdir()
    files = download_model(reference, scratch / "model").asking_for(config.analysis.predict)
    digest, served = files.digest(), served_digest(files, reference)  # before the model's own code may write there
    predictor = access.load(files, reference)
    if isinstance(data, RowsElsewhere):
        found = data.bind(predictor.inputs, config, files)
        _refuse_one_row(found.dataset)
        return _Loaded(
            config, reference, digest, function_of(files), served, predictor, found.dataset, found.inputs, None, found
        )
    fetch, problems = Fetcher(scratch / "data"), Problems()
    if data is None:
        texts = text_columns(predictor.inputs, config.inputs)
        data = load_dataset(config.data, fetch, texts, problems)
    elif isinstance(data, Rows):
        config, data = data.read(predictor.inputs, config, fetch)
    else:
        config = _with_its_clusters(config, data)
    _refuse_one_row(data)
    point_out_dependence(data)
    check_strata(config.analysis.within, data.columns, data.steps, problems)
    check_segments(edges_of(config.analysis.segments), data.columns, problems)
    if config.analysis.p_values and data.cluster is not None:
        told = f"analysis: p_values need rows that can change places, and rows of one '{data.cluster}' belong together."
        problems.add(ConfigError(f"{told} Leave p_values out: drops of scores are told all the same."))
    said = {**columns_by_signature(files.mlmodel, predictor.inputs, data.columns), **config.inputs}
    inputs = bind_inputs(predictor.inputs, data, said, problems)
    training = None
    if config.requires is not None and config.requires.not_training:
        sources = training_data_of(client, reference.run_id) if reference.run_id else []
        training = training_overlap(data, sources, fetch)
    return _Loaded(config, reference, digest, function_of(files), served, predictor, data, inputs, training)


def _refuse_one_row(data: Dataset) -> None:
    if data.n_rows < _FEWEST_ROWS:
        raise DataError(f"{data.source} holds one row, which has no other to exchange values with; give more.")


def _with_its_clusters(config: AuditConfig, data: Dataset) -> AuditConfig:
    """Return a configuration that names the clusters of a data set in memory, or refuse one that names others."""
    if config.data.cluster not in (None, data.cluster):
        has = "no clusters" if data.cluster is None else f"those of '{data.cluster}'"
        raise ConfigError(
            f"data: cluster names '{config.data.cluster}', but the Dataset has {has}. Make it with "
            "dataset_from(..., cluster=...)."
        )
    return config.model_copy(update={"data": config.data.model_copy(update={"cluster": data.cluster})})


def _choose_perturbations(
    inputs: BoundInputs, analysis: AnalysisConfig, model: str, clusters: np.ndarray | None
) -> tuple[Companions, list[Perturbation]]:
    """Return which features go together, and what is done to the data."""
    companions = find_companions(inputs, analysis.exclude, analysis.associated_above)
    groups = companions.groups if analysis.groups == "auto" else analysis.groups
    perturbations = plan_perturbations(inputs, model, analysis, groups)
    perturbations = with_conditionals(perturbations, inputs, analysis, clusters)
    point_out(companions, groups)
    return companions, perturbations


def _leading(asked: str | None, decision: Decision | None) -> str:
    """Return the statistic that leads, as asked for or as the predictions suggest."""
    if asked == FLIPS and decision is None:
        raise ConfigError(
            f"analysis: order_by: '{FLIPS}' needs decisions that could flip, and nothing tells how the model decides: "
            "say at which threshold (analysis: decision), or order by 'mean'."
        )
    if asked is not None:
        return asked
    return FLIPS if decision is not None and decision.is_prediction else MEAN


def _known_outputs(predictor: Predictor, inputs: BoundInputs, n_outputs: int) -> OutputSpec:
    """Return what is known of the outputs: as the model says, or as some predictions show."""
    outputs = predictor.outputs
    if n_outputs == 1 or any(head.exclusive for head in outputs.heads):
        return outputs
    some = predictor.begin([inputs.read(probe_rows(inputs.n_rows))])[0].baseline
    return outputs.as_probabilities(n_outputs) if are_probabilities(some) else outputs


def _scores(
    dataset: Dataset, analysis: AnalysisConfig, outputs: OutputSpec, n_outputs: int, decision: Decision | None
) -> Scores | None:
    """Return what to compute from labels, where scores are asked for."""
    if not analysis.scores:
        return None
    if dataset.label is None:
        raise ConfigError(
            "analysis: scores compare predictions with labels: name their column under 'data: label', or give them "
            "with rows in memory (labels=...)."
        )
    return choose_scorers(
        analysis.scores,
        dataset.columns[dataset.label],
        n_outputs,
        are_probabilities="probability" in (analysis.unit, outputs.unit),
        output_names=outputs.names,
        decision=decision,
    )
