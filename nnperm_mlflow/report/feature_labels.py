"""Names as people read them: behind each what it is called in words, so that no label hides which feature it is of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from nnperm_mlflow.config.data_config import TemporalConfig
from nnperm_mlflow.config.labels_config import Labels, labels_of, steps_of

_STEPS = re.compile(r"steps? ([0-9]{1,9})(?: to ([0-9]{1,9}))?")  # as windows of equal length are called


@dataclass(frozen=True)
class FeatureLabels:
    """What features and steps are called.

    Attributes
    ----------
    words, descriptions : mapping of str to str
        By the name of a feature, window, group or column.
    steps : mapping of str to sequence of str
        By the name of a channel, what its steps are called.
    windows : mapping of str to (int, int)
        Windows that the audit names itself: first and last step, from 1.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    windows: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        labels: Labels,
        temporal: Mapping[str, TemporalConfig],
        windows: int | Mapping[str, Sequence[int]] | None,
    ) -> FeatureLabels:
        """Return what a configuration calls things.

        Parameters
        ----------
        labels : Labels
        temporal : mapping of str to TemporalConfig
            Temporal data; labels of their steps are those of each of their channels.
        windows : int, mapping of str to (int, int), or None
            As the audit was asked for them.
        """
        told, steps = labels_of(labels), dict(steps_of(labels))
        for name, spec in temporal.items():
            if name in steps:
                channels = spec.columns if spec.columns is not None else spec.channels or []
                steps |= {channel: steps.get(channel, steps[name]) for channel in channels}
        named = windows if isinstance(windows, Mapping) else {}
        return cls(
            words={name: each.label for name, each in told.items()},
            descriptions={name: each.description for name, each in told.items() if each.description},
            steps=steps,
            windows={name: (first, last) for name, (first, last) in named.items()},
        )

    def __bool__(self) -> bool:
        return bool(self.words or self.steps)

    def over(self, other: FeatureLabels) -> FeatureLabels:
        """Return these labels, and those of others where these say nothing."""
        return FeatureLabels(
            words={**other.words, **self.words},
            descriptions={**other.descriptions, **self.descriptions},
            steps={**other.steps, **self.steps},
            windows={**other.windows, **self.windows},
        )

    def of_feature(self, name: str) -> str:
        """Return what a feature is called in words; "" where nothing is said.

        >>> labels = FeatureLabels({"PAY": "payment status"}, steps={"PAY": ["Apr", "May", "Jun"]})
        >>> labels.of_feature("PAY"), labels.of_feature("PAY steps 1 to 2"), labels.of_feature("AGE")
        ('payment status', 'payment status, Apr to May', '')
        """
        if name in self.words:
            return self.words[name]
        channels = [each for each in {*self.words, *self.steps} if name.startswith(f"{each} ")]
        for channel in sorted(channels, key=len, reverse=True):
            if ends := self._ends_of(name[len(channel) + 1 :]):
                return ", ".join(filter(None, (self.words.get(channel, ""), self.span(channel, *ends))))
        return ""

    def called(self, name: str) -> str:
        """Return a name with what it is called behind it.

        >>> FeatureLabels({"PAY": "payment status"}).called("PAY")
        'PAY (payment status)'
        """
        label = self.of_feature(name)
        return f"{name} ({label})" if label else name

    def span(self, channel: str, first: int, last: int) -> str:
        """Return what some steps of a channel are called; "" where they have no labels."""
        steps = self.steps.get(channel, [])
        if not 1 <= first <= last <= len(steps):
            return ""
        return steps[first - 1] if first == last else f"{steps[first - 1]} to {steps[last - 1]}"

    def of_perturbations(self, summary: pd.DataFrame) -> dict[str, str]:
        """Return for perturbations of a summary what their feature is called, where it is called anything."""
        features = summary["feature"] if "feature" in summary else summary["perturbation"]
        told = {
            str(name): self.of_feature(str(feature))
            for name, feature in zip(summary["perturbation"], features, strict=True)
        }
        return {name: label for name, label in told.items() if label}

    def in_summary(self, summary: pd.DataFrame) -> pd.DataFrame:
        """Return a table of perturbations, in which these have their labels behind their names."""
        return summary.assign(perturbation=summary["perturbation"].astype(str).replace(self.names_in(summary)))

    def names_in(self, summary: pd.DataFrame) -> dict[str, str]:
        """Return for those perturbations of a summary that have labels their names with these."""
        return {name: f"{name} ({label})" for name, label in self.of_perturbations(summary).items()}

    def in_table(self, table: pd.DataFrame, *columns: str) -> pd.DataFrame:
        """Return a table in which the features of some columns have their labels."""
        return table.assign(**{name: table[name].map(self._called_if_text) for name in columns if name in table})

    def in_windows(self, windows: pd.DataFrame) -> pd.DataFrame:
        """Return a table of windows in which channels have their labels, and windows those of their steps.

        A window is called by its steps where these have the same labels in all channels that have it; one that has a
        name of its own keeps it.
        """
        spans: dict[str, set[str]] = {}
        for row in windows.to_dict("records"):
            span = self.span(str(row["channel"]), int(row["first"]), int(row["last"]))
            spans.setdefault(str(row["window"]), set()).add(span)
        names = {window: self._window_called(window, told) for window, told in spans.items()}
        return self.in_table(windows, "channel").assign(window=windows["window"].astype(str).map(names))

    def glossary(self) -> list[tuple[str, str, str]]:
        """Return of those that have a description the name, the label and the description, as they were given."""
        return [(name, self.words[name], told) for name, told in self.descriptions.items()]

    def _ends_of(self, window: str) -> tuple[int, int] | None:
        if window in self.windows:
            return self.windows[window]
        if found := _STEPS.fullmatch(window):
            return int(found[1]), int(found[2] or found[1])
        return None

    def _window_called(self, window: str, spans: set[str]) -> str:
        span = next(iter(spans)) if len(spans) == 1 else ""
        if not span:
            return window
        return f"{window} ({span})" if window in self.windows else span

    def _called_if_text(self, name: object) -> object:
        return self.called(name) if isinstance(name, str) and name else name
