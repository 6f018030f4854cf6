"""A proposal as a configuration that a person reads: what each line means, and what is open beside what is known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nnperm_mlflow.auditor.proposal.draft import Draft, Section
from nnperm_mlflow.auditor.proposal.result import Proposal
from nnperm_mlflow.auditor.proposal.words import basis_of, fit_of
from nnperm_mlflow.auditor.proposal.yaml_text import in_a_line, in_lines, inside
from nnperm_mlflow.basics.errors import ConfigError, name_list
from nnperm_mlflow.basics.locations import is_uri, without_secrets
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.basics.text import printable
from nnperm_mlflow.inputs.dataset import Series

_COMMENTS_AT = 46  # letters before a comment behind a line
_WIDTH = 116
_SCORERS = {"AUC": "roc_auc", "accuracy": "accuracy", "rank correlation": "r2"}


def write_config(proposal: Proposal, path: str | Path, *, force: bool = False) -> None:
    """Write a proposal as a configuration.

    Parameters
    ----------
    proposal : Proposal
    path : str or Path
    force : bool
        Write over a file that is there.

    Raises
    ------
    ConfigError
        If there is one, or it cannot be written.
    """
    path = local_path(path, "the configuration")
    refuse_existing(path, force)
    try:
        path.write_text(config_text(proposal, path.resolve().parent), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the configuration '{path}' cannot be written: {error.strerror}.") from error


def refuse_existing(path: Path, force: bool) -> None:
    """Refuse to write over a file that nobody has said may go."""
    if path.exists() and not force:
        raise ConfigError(f"'{path}' is there already. Write over it (--force), or name another file (--output FILE).")


def config_text(proposal: Proposal, folder: Path) -> str:
    """Return the configuration as text; paths below `folder` are relative to it."""
    lines = [
        *_head(proposal),
        "",
        f"model: {in_a_line(proposal.model)}",
        "",
        *_data(proposal, folder),
        "",
        *_inputs(proposal),
        "",
        *_analysis(proposal),
    ]
    return "\n".join(lines) + "\n"


def _head(proposal: Proposal) -> list[str]:
    where = "" if proposal.static is None else f" and {Path(without_secrets(proposal.static)).name}"
    lines = _comment(
        f"How to audit {proposal.model}, found out from the model{where} by nnperm init. Paths are relative to this "
        "file; docs/config.md explains every key."
    )
    if proposal.trial is not None:
        lines += _comment(f"As it stands here, {fit_of(proposal.draft, proposal.trial)}")
    if proposal.draft.questions:
        lines += _comment(f"OPEN: {len(proposal.draft.questions)}, each marked so below.")
    return lines


def _data(proposal: Proposal, folder: Path) -> list[str]:
    draft = proposal.draft
    lines = []
    if proposal.static is not None:
        lines.append(_noted(f"  static: {in_a_line(_path(proposal.static, folder))}", f"{proposal.n_rows:,} rows"))
    if draft.row_id is not None:
        lines.append(_noted(f"  row_id: {in_a_line(draft.row_id)}", "each row has its own; never fed to the model"))
    if draft.label is not None:
        why = f"taken for the outcome by {draft.label_told_by}; only scores read it"
        lines.append(_noted(f"  label: {in_a_line(draft.label)}", why))
    lines += _temporal(proposal, folder)
    return _section("data", lines, draft)


def _temporal(proposal: Proposal, folder: Path) -> list[str]:
    draft = proposal.draft
    decided = draft.described
    lines = ["  temporal:"] if decided else []
    for name, series in decided.items():
        receivers = [spec for spec, target in draft.inputs.items() if target == name]
        lines.append(_noted(f"    {in_a_line(name)}:", f"for {', '.join(map(printable, receivers))}"))
        basis = [one for one in draft.assumptions if one.of == name and one.kind in ("steps", "channels")]
        for assumption in basis:
            lines += _comment(_sentence(basis_of(assumption, draft, proposal.trial)), "      ")
        lines += _series(series, draft.files.get(name), folder)
    for name, both in draft.undecided.items():
        for series in both:
            first = series.columns[series.channels[0]][0]
            lines += _comment(f"OPEN: the steps of {name}. If {first} is the first, remove the # of these lines:", "  ")
            block = [f"  {in_a_line(name)}:", *(line[2:] for line in _series(series, None, folder))]
            lines += [f"  # {line}" for line in ([] if decided else ["temporal:"]) + block]
    return lines


def _series(series: Series, file: str | None, folder: Path) -> list[str]:
    indent = "      "
    if file is None:
        lines = [f"{indent}columns:"]
        for channel in series.channels:
            lines += in_lines(channel, series.columns[channel], f"{indent}  ")
    else:
        lines = [f"{indent}file: {in_a_line(_path(file, folder))}"]
        lines += _comment("Names for the channels, in stored order: yours to choose, for tables and pictures.", indent)
        lines += in_lines("channels", series.channels, indent)
        if series.channel_axis is not None:
            lines.append(_noted(f"{indent}channel_axis: {series.channel_axis}", _axes(series)))
    if series.model_channel_axis is not None:
        note = "both axes are as long: steps, then channels, is assumed of the model"
        lines.append(_noted(f"{indent}model_channel_axis: {series.model_channel_axis}", note))
    return lines


def _axes(series: Series) -> str:
    return "(rows, steps, channels)" if series.channel_axis == 2 else "(rows, channels, steps)"


def _inputs(proposal: Proposal) -> list[str]:
    draft = proposal.draft
    columns = [spec for spec in proposal.specs if spec.is_column and draft.inputs.get(spec.name) == spec.name]
    lines: list[str] = []
    for spec in proposal.specs:
        target = draft.inputs.get(spec.name)
        if target is None or spec in columns:
            continue
        for assumption in draft.assumptions:
            if assumption.kind == "numbers" and assumption.of == spec.name:
                lines += _comment(_sentence(basis_of(assumption, draft, proposal.trial)), "  ")
        if isinstance(target, str):
            lines.append(_noted(f"  {in_a_line(spec.name)}: {in_a_line(target)}", draft.reasons[spec.name]))
        else:
            first, *more = in_lines(spec.name, target, "  ")
            lines += [_noted(first, draft.reasons[spec.name]), *more]
    notes = []
    if columns:
        notes += _comment(f"{len(columns)} columns of the model are found in the table by their names.")
    if not draft.waiting(proposal.specs):
        notes += _left_out(draft)
    return [*notes, *_section("inputs", lines, draft)]


def _left_out(draft: Draft) -> list[str]:
    """Return why columns are left out, those together of which the same is true."""
    reasons: dict[str, list[str]] = {}
    for name, why in draft.left_out.items():
        if name != draft.row_id:
            reasons.setdefault(why, []).append(name)
    return [line for why, names in reasons.items() for line in _comment(f"Left out, since {why}: {name_list(names)}.")]


def _analysis(proposal: Proposal) -> list[str]:
    output, why = proposal.output
    lines = []
    if proposal.predict is not None:
        lines.append(_noted(f"  predict: {proposal.predict}", "probabilities, where MLflow serves labels of classes"))
    if output is not None:
        lines.append(_noted(f"  output: {output}", why))
    asked = _more_to_ask(proposal)
    if asked:
        lines += _comment("More to ask; remove the # of what you want to know:", "  ")
        lines += [f"  # {_noted(line, note, _COMMENTS_AT - 4)}" for line, note in asked]
    return _section("analysis", lines, proposal.draft)


def _more_to_ask(proposal: Proposal) -> list[tuple[str, str]]:
    """Return lines that make sense for these features, and what each asks."""
    of_kind: dict[str, list[str]] = {}
    for name, kind in proposal.kinds.items():
        of_kind.setdefault(kind, []).append(name)
    categories, numbers = of_kind.get("category", [])[:2], of_kind.get("number", [])[:2]
    asked = [("repeats: 5", "shuffles of each feature; left out 1, or what the trial of a policy says")]
    if proposal.trial is not None:
        scorer = _SCORERS[proposal.trial.yardstick.name]
        asked.append((f"scores: [{scorer}]", "by how much does each shuffle lower the score?"))
    if "series" in of_kind:
        asked += [("windows: 3", "when does a channel matter?"), ("order: true", "does the order of its steps matter?")]
    if categories:
        sets = ", ".join(f"{inside(name)}: all" for name in categories)
        asked.append((f"set: {{{sets}}}", "what if everybody had this value?"))
    if numbers:
        asked.append((f"profile: {in_a_line(numbers)}", "the mean prediction over its values"))
    return asked


def _section(name: Section, lines: Iterable[str], draft: Draft) -> list[str]:
    """Return a section with what is open in it; where nothing else is in it, that is a comment as a whole."""
    known = list(lines)
    is_empty = all(line.lstrip().startswith("#") for line in known)
    opened: list[str] = []
    for question in draft.questions:
        own = [line for section, line in question.lines if section == name]
        if own:
            opened += _comment(f"OPEN: {question.what}", "  ")
            opened += [f"  # {line}" for line in own]
    if not known and not opened:
        return []
    return [f"# {name}:                # remove its #, too" if is_empty else f"{name}:", *known, *opened]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _path(location: str, folder: Path) -> str:
    """Return a location as it stands in the file: relative where it lies below it."""
    if is_uri(location):
        return location
    whole = Path(location).expanduser().resolve()
    return whole.relative_to(folder).as_posix() if whole.is_relative_to(folder) else str(whole)


def _noted(line: str, note: str, at: int = _COMMENTS_AT) -> str:
    return f"{line.ljust(at)}  # {printable(note)}"


def _comment(text: str, indent: str = "") -> list[str]:
    """Return a text as comments, broken between words."""
    lines: list[str] = []
    line = f"{indent}#"
    for word in printable(text).split(" "):
        if len(line) + 1 + len(word) > _WIDTH and line.strip() != "#":
            lines.append(line)
            line = f"{indent}#"
        line += f" {word}"
    return [*lines, line]
