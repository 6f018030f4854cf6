"""`nnperm init`: a configuration written for a version and its data, with what was found out and what is open."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

import nnperm_mlflow
from nnperm_mlflow.basics.errors import ConfigError, name_list
from nnperm_mlflow.basics.text import in_lines, printable
from nnperm_mlflow.cli.common import WithSwitches, one_uri, prepared, tracking_options

if TYPE_CHECKING:
    from nnperm_mlflow.auditor.proposal.draft import Draft

_REGISTERED = re.compile(r"models:/([^/@]+)[/@].+")
_WIDTH = 112


@click.command("init", cls=WithSwitches)
@click.argument("uri", required=False)
@click.option("--model-uri", help="URI once more, as an option.")
@click.option("--data", "static", help="The table: a csv or parquet file, a URL, a run's artifact (runs:/...).")
@click.option("--history", "histories", multiple=True, help="An array of histories (.npy, .npz); may be given again.")
@click.option("--output", help="The file to write; else it is called as the model is: credit.yaml.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option(
    "--trust-model", type=bool, is_flag=False, flag_value="true", default="false", metavar="",
    help="Let code that came with the model run (pickles, Lambda layers).",
)  # fmt: skip
@tracking_options
def init_command(
    uri: str | None,
    model_uri: str | None,
    static: str | None,
    histories: tuple[str, ...],
    output: str | None,
    force: bool,
    trust_model: bool,
    tracking_uri: str | None,
    debug: bool,
) -> None:
    """Write the configuration of an audit: which data each input of a model receives, found out from both.

    URI is models:/name/3, models:/name@alias, models:/m-..., runs:/... or a local path. What cannot be known is told,
    with the line that would decide it.
    """
    model = one_uri(uri, model_uri)
    with prepared(tracking_uri, debug):
        from nnperm_mlflow.auditor.proposal.document import refuse_existing  # noqa: PLC0415 - numpy takes a second
        from nnperm_mlflow.registry.connection import command  # noqa: PLC0415 - MLflow takes seconds

        if not model:
            raise ConfigError("no model is named: nnperm init models:/credit/3 --data clients.csv")
        path = Path(output) if output else _file_for(model, static)
        refuse_existing(path, force)
        given = [history for history in histories if history]
        proposal = nnperm_mlflow.propose(model, static or None, given, trust_model=trust_model)
        nnperm_mlflow.write_config(proposal, path, force=force)
        switch = ["--trust-model"] if trust_model else []
        click.echo(describe(proposal, path, command("audit", "--config", str(path), *switch)))


def _file_for(model: str, static: str | None) -> Path:
    """Return what the file is called where nobody says so: as the registered model, else as the data."""
    match = _REGISTERED.fullmatch(model)
    name = match[1] if match else Path(static or "audit").stem
    return Path(re.sub(r"[^\w.-]", "_", name) + ".yaml")


def describe(proposal: nnperm_mlflow.Proposal, path: Path, next_command: str) -> str:
    """Return what a person wants to know: what each input receives and why, what is assumed, what is open."""
    lines = [f"{path}: {proposal.reference.uri} on {proposal.n_rows:,} rows", ""]
    lines += [*_table(proposal), *_roles(proposal.draft), *_basis(proposal), *_open(proposal.draft, path)]
    return in_lines([*lines, "", f"{'then' if proposal.draft.questions else 'next'}: {next_command}"])


def _table(proposal: nnperm_mlflow.Proposal) -> list[str]:
    """Return a line for each input; columns of a table that are found by their names share one."""
    draft = proposal.draft
    specs = [spec for spec in proposal.specs if spec.name in draft.inputs or not spec.is_optional]
    names = [spec.name for spec in specs if not (spec.is_column and draft.inputs.get(spec.name) == spec.name)]
    rows = [("input", "receives", ""), *((name, _shown(proposal, name), draft.reasons.get(name, "")) for name in names)]
    first, second = (max(len(printable(row[column])) for row in rows) for column in (0, 1))
    lines = [f"{printable(name):<{first}}  {printable(data):<{second}}  {why}".rstrip() for name, data, why in rows]
    n_columns = len(specs) - len(names)
    found = [f"{n_columns} columns of the model are found in the table by their names"] if n_columns else []
    return [*(lines if names else []), *found, ""]


def _roles(draft: Draft) -> list[str]:
    lines = [f"row id    {draft.row_id} (each row has its own)"] if draft.row_id else []
    lines += [f"label     {draft.label} (by {draft.label_told_by})"] if draft.label else []
    left_out = [name for name in draft.left_out if name != draft.row_id]
    if any(section == "inputs" for question in draft.questions for section, _ in question.lines):
        return lines  # what is left is told with the question
    return [*lines, *([f"left out  {name_list(left_out)}"] if left_out else [])]


def _basis(proposal: nnperm_mlflow.Proposal) -> list[str]:
    """Return what the outcome tells, and what nothing tells."""
    from nnperm_mlflow.auditor.proposal.words import basis_of, fit_of, is_told  # noqa: PLC0415

    draft, trial = proposal.draft, proposal.trial
    decided = [one for one in draft.assumptions if one.of not in draft.undecided or one.kind != "steps"]
    told = [basis_of(one, draft, trial) for one in decided if is_told(one, trial)]
    assumed = [basis_of(one, draft, trial) for one in decided if not is_told(one, trial)]
    lines = ["", "checked", *_items([fit_of(draft, trial), *told])] if trial is not None else []
    return [*lines, *(["", "assumed, since nothing tells: please look at it", *_items(assumed)] if assumed else [])]


def _open(draft: Draft, path: Path) -> list[str]:
    """Return what a person has to decide, with the lines that would do it."""
    if not draft.questions:
        return []
    lines = ["", f"open, and marked in {path}"]
    for question in draft.questions:
        lines += _items([f"{question.what.rstrip('.')}."])
        lines += [_cut(f"      {section}: {{{line}}}") for section, line in question.lines]
    return lines


def _cut(line: str) -> str:
    """Return a line as far as a terminal shows it well; the whole stands in the file."""
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 4]} ..."


def _shown(proposal: nnperm_mlflow.Proposal, name: str) -> str:
    """Return the data that an input receives, in short."""
    target = proposal.draft.inputs.get(name)
    if target is None:
        return "(open)"
    if isinstance(target, list):
        return ", ".join(target) if len(target) <= 4 else f"{', '.join(target[:3])} and {len(target) - 3} more"
    series = proposal.draft.temporal.get(target)
    return target if series is None or series.channels == (target,) else f"{target}: {', '.join(series.channels)}"


def _items(texts: Iterable[str]) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(printable(text), _WIDTH, initial_indent="  - ", subsequent_indent="    ")
    ]
