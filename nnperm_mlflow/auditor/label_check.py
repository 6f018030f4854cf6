"""Whether what `labels` calls something is there, so that no label is left out because of a letter in its name."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from nnperm_mlflow.analysis.perturbation.kinds import Perturbation
from nnperm_mlflow.basics.errors import ConfigError, UnknownFeatureError, did_you_mean, name_list
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.config.labels_config import STEPS, labels_of, steps_of
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.slots import count_steps


def check_labels(
    config: AuditConfig, inputs: BoundInputs, perturbations: Collection[Perturbation], columns: Collection[str]
) -> None:
    """Refuse labels of what there is not.

    Parameters
    ----------
    config : AuditConfig
    inputs : BoundInputs
    perturbations : collection of Perturbation
        What is done: windows and groups are features of it.
    columns : collection of str
        Of the static table, which may part the rows without being features.

    Raises
    ------
    UnknownFeatureError
        If a name is none of a feature, window, group or column, or steps are not those of a series; all in one.
    ConfigError
        If a series has another number of steps than labels for them.
    """
    known = dict.fromkeys([*inputs.features, *(each.feature.name for each in perturbations), *columns])
    unknown = [name for name in labels_of(config.labels) if name not in known]
    series = _series_of(config, inputs)
    steps = steps_of(config.labels)
    strangers = [name for name in steps if name not in series]
    if unknown or strangers:
        names = [*unknown, *(f"{name}{STEPS}" for name in strangers)]
        hints = [did_you_mean(name, known) for name in unknown] + [did_you_mean(name, series) for name in strangers]
        there = f"series are {name_list(series)}" if series else "there is no series"
        raise UnknownFeatureError(
            f"labels: nothing that is audited is called {name_list(names)}.{''.join(hints)} Features, windows, groups "
            f"and columns are {name_list(known)}; {there}."
        )
    wrong = list(_wrong_lengths(steps, series))
    if wrong:
        raise ConfigError(f"labels: {'; '.join(wrong)}. Give one label for each step, in the order of the data.")


def _series_of(config: AuditConfig, inputs: BoundInputs) -> dict[str, int]:
    """Return how many steps each channel, and each temporal data of channels that are features, has."""
    found = {
        name: count_steps(inputs.sources, feature)
        for name, feature in inputs.features.items()
        if feature.kind == "series"
    }
    of_data = {}
    for name, spec in config.data.temporal.items():
        lengths = {found[each] for each in (spec.columns or spec.channels or []) if each in found}
        if len(lengths) == 1:
            of_data[name] = lengths.pop()
    return {**of_data, **found}


def _wrong_lengths(steps: dict[str, list[str]], series: dict[str, int]) -> Iterator[str]:
    for name, labels in steps.items():
        if len(labels) != series[name]:
            yield f"'{name}{STEPS}' has {len(labels)} labels, and '{name}' {series[name]} steps"
