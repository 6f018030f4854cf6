"""What an audit does: every feature shuffled, alone, by windows and in groups, and some set to values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise

from nnperm_mlflow.analysis.perturbation.association import Groups
from nnperm_mlflow.analysis.perturbation.kinds import Perturbation, Reorder, SetTo, Shuffle
from nnperm_mlflow.analysis.perturbation.set_values import values_to_set
from nnperm_mlflow.basics.errors import ConfigError, UnknownFeatureError, did_you_mean, name_list
from nnperm_mlflow.basics.problems import Problems
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.config.profile_config import accumulated_of, dependence_of
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.slots import Feature, count_steps, window_of


def plan_perturbations(
    inputs: BoundInputs, model: str, analysis: AnalysisConfig, groups: Groups | None = None
) -> list[Perturbation]:
    """List what an audit does.

    Parameters
    ----------
    inputs : BoundInputs
    model : str
        For messages.
    analysis : AnalysisConfig
    groups : mapping of str to sequence of str, optional
        Features to shuffle together; by default those of `analysis`.

    Returns
    -------
    list of Shuffle, Reorder or SetTo
        In the order of the model's inputs, a channel followed by its windows and its order; names are unique.

    Raises
    ------
    UnknownFeatureError
        If a feature is named that the model does not have.
    ConfigError
        If nothing is left to disturb, two perturbations would have one name, or a window lies outside its series.
    """
    if groups is None:
        groups = analysis.groups if isinstance(analysis.groups, dict) else {}
    windows = _windows_of(inputs, analysis)
    known = _known(inputs, windows)
    problems = Problems()
    _check_names(analysis, groups, inputs.features, known, model, problems=problems)
    problems.settle()
    _check_wishes(analysis, groups, known, problems)
    problems.settle()
    perturbations: list[Perturbation] = []
    for name, feature in inputs.features.items():
        if name not in analysis.exclude:
            perturbations.append(Shuffle(feature))
            perturbations.extend(SetTo(feature, value) for value in values_to_set(feature, inputs, analysis))
            for window in windows[name]:
                if window.name not in analysis.exclude:
                    perturbations.append(Shuffle(window))
                    perturbations.extend(SetTo(window, value) for value in values_to_set(window, inputs, analysis))
            if feature.kind == "series" and _is_named(name, analysis.order):
                perturbations.append(Reorder(feature))
    for name, members in groups.items():
        slots = tuple(slot for member in members for slot in known[member].slots)
        perturbations.append(Shuffle(Feature(name, slots, "group", tuple(members))))
    _check_plan(perturbations, model)
    return perturbations


def known_features(inputs: BoundInputs, analysis: AnalysisConfig) -> dict[str, Feature]:
    """Return the model's features, and the windows of those that are not excluded, by name."""
    return _known(inputs, _windows_of(inputs, analysis))


def _known(inputs: BoundInputs, windows: Mapping[str, Sequence[Feature]]) -> dict[str, Feature]:
    return {**inputs.features, **{window.name: window for each in windows.values() for window in each}}


def _windows_of(inputs: BoundInputs, analysis: AnalysisConfig) -> dict[str, list[Feature]]:
    return {
        name: [] if name in analysis.exclude else _windows(feature, inputs, analysis)
        for name, feature in inputs.features.items()
    }


def _windows(feature: Feature, inputs: BoundInputs, analysis: AnalysisConfig) -> list[Feature]:
    """Cut a series into windows, as asked for."""
    asked = analysis.windows
    if feature.kind != "series" or not asked:
        return []
    n_steps = count_steps(inputs.sources, feature)
    if isinstance(asked, int):
        if asked > n_steps:
            raise ConfigError(f"analysis: windows: '{feature.name}' has {n_steps} steps, too few for {asked} windows.")
        edges = [number * n_steps // asked for number in range(asked + 1)]
        ranges = [(first + 1, last) for first, last in pairwise(edges)]
        labels = [f"step {first}" if first == last else f"steps {first} to {last}" for first, last in ranges]
        return [window_of(feature, label, *steps) for label, steps in zip(labels, ranges, strict=True)]
    for label, (first, last) in asked.items():
        if last > n_steps:
            raise ConfigError(
                f"analysis: windows: '{label}' is steps {first} to {last}, but '{feature.name}' has {n_steps} steps."
            )
    return [window_of(feature, label, *steps) for label, steps in asked.items()]


def _is_named(name: str, asked: bool | Sequence[str]) -> bool:
    return asked if isinstance(asked, bool) else name in asked


def _check_names(
    analysis: AnalysisConfig,
    groups: Groups,
    own: Mapping[str, Feature],
    known: Mapping[str, Feature],
    model: str,
    *,
    problems: Problems,
) -> None:
    """Look for names of features that there are not; windows are features where that makes sense."""
    static = {name: feature for name, feature in own.items() if feature.kind in ("number", "category")}
    named: list[tuple[str, Iterable[str], Mapping[str, Feature]]] = [
        ("kinds", [key for key in analysis.kinds if not any(fnmatchcase(name, key) for name in static)], static),
        ("set", analysis.set, known),
        ("exclude", analysis.exclude, known),
        ("profile", dependence_of(analysis.profile), own),
        ("profile", accumulated_of(analysis.profile) or [], known),
        *((f"groups: {name}", members, known) for name, members in groups.items()),
        *_donors_named(analysis, known, groups),
    ]
    if not isinstance(analysis.order, bool):
        series = {name: feature for name, feature in own.items() if feature.kind == "series"}
        named.append(("order", analysis.order, series))
    for where, names, among in named:
        for name in names:
            if name not in among:
                what = {"order": "series", "kinds": "static feature"}.get(where, "feature")
                told = f"analysis: {where}: '{name}' is not a {what} of {model}, which has {name_list(among)}."
                problems.add(UnknownFeatureError(f"{told}{did_you_mean(name, among)}"))


def _donors_named(
    analysis: AnalysisConfig, known: Mapping[str, Feature], groups: Groups
) -> Iterator[tuple[str, Iterable[str], Mapping[str, Feature]]]:
    """Yield the names under `donors`, and among which they have to be: groups are shuffled, and no rows told apart."""
    if isinstance(analysis.donors, dict):
        yield "donors", analysis.donors, {**known, **{name: Feature(name, (), "group") for name in groups}}
        yield from ((f"donors: {name}", given, known) for name, given in analysis.donors.items())


def _check_wishes(analysis: AnalysisConfig, groups: Groups, known: Mapping[str, Feature], problems: Problems) -> None:
    """Look for features that are left alone and disturbed as well, and for groups of a series and a part of it."""
    asked = [
        ("set", analysis.set),
        ("profile", dependence_of(analysis.profile)),
        ("profile", accumulated_of(analysis.profile) or []),
        *((f"groups: {name}", groups[name]) for name in groups),
    ]
    if not isinstance(analysis.order, bool):
        asked.append(("order", analysis.order))
    if isinstance(analysis.donors, dict):
        asked.append(("donors", analysis.donors))
    for where, names in asked:
        for name in names:
            if name in analysis.exclude:
                told = f"analysis: '{name}' is both excluded and under '{where}'; take it out of one of the two."
                problems.add(ConfigError(told))
    if isinstance(analysis.donors, dict):
        for name, given in analysis.donors.items():
            _check_given(name, given, groups, known, problems)
    for group, members in groups.items():
        for name in members:
            channel = known[name].members[0] if known[name].kind == "window" else ""
            if channel in members:
                told = f"analysis: groups: {group}: '{name}' is a part of '{channel}', which is in the group as well"
                problems.add(ConfigError(f"{told}; take one of the two out."))


def _check_given(
    name: str, given: Sequence[str], groups: Groups, known: Mapping[str, Feature], problems: Problems
) -> None:
    """Look for features that rows shall be told apart by, and that are shuffled themselves."""
    shuffled = [known[part] for part in groups.get(name, [name])]
    own = [other for other in given if any(_overlap(known[other], part) for part in shuffled)]
    if own:
        told = (
            f"analysis: donors: {name}: {name_list(own)} would be shuffled with it, and cannot tell its donors apart."
        )
        problems.add(ConfigError(f"{told} Name other features."))


def _overlap(one: Feature, other: Feature) -> bool:
    """Tell whether two features, each the model's own or a window, hold something in common."""
    channels = [feature.members[0] if feature.steps else feature.name for feature in (one, other)]
    if one.steps is None or other.steps is None or channels[0] != channels[1]:
        return channels[0] == channels[1]
    return one.steps[0] <= other.steps[1] and other.steps[0] <= one.steps[1]


def _check_plan(perturbations: list[Perturbation], model: str) -> None:
    if not perturbations:
        raise ConfigError(f"every feature of {model} is excluded; leave at least one to audit.")
    names = [perturbation.name for perturbation in perturbations]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"two perturbations would both be called {name_list(twice)}: a group, a window or a column is named as "
            "another feature or as a feature set to a value. Rename it."
        )
