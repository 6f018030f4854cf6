"""What a person has to decide, with the lines of the configuration that would do it."""

from __future__ import annotations

from collections.abc import Sequence

from nnperm_mlflow.auditor.proposal.draft import KINDS, NO_INPUT, Columns, Draft, Question
from nnperm_mlflow.auditor.proposal.families import find_families
from nnperm_mlflow.auditor.proposal.yaml_text import in_a_line, inside
from nnperm_mlflow.basics.errors import did_you_mean, name_list
from nnperm_mlflow.inputs.assignment import kind_of
from nnperm_mlflow.inputs.specs import InputSpec


def ask(specs: Sequence[InputSpec], columns: Columns, draft: Draft) -> None:
    """Ask for what each input shall receive that nothing was found for."""
    for spec in draft.waiting(specs):
        there = [name for name, why in draft.left_out.items() if why == NO_INPUT]
        left = [name for name in there if columns[name].dtype.kind in KINDS[kind_of(spec)]]
        if spec.is_column:
            what = f"which column is the model's '{spec.name}', which the data lack.{did_you_mean(spec.name, left)}"
            draft.questions.append(Question(what, (("inputs", f"{in_a_line(spec.name)}: COLUMN"),)))
        elif len(spec.shape) == 2:
            draft.questions.append(_ask_history(spec, columns, draft))
        else:
            draft.questions.append(_ask_columns(spec, left, draft))


def _ask_history(spec: InputSpec, columns: Columns, draft: Draft) -> Question:
    families = find_families([name for name in columns if name not in draft.taken])
    there = "; ".join(f"{family.name}: {len(family.columns)} columns" for family in families) or "none"
    name = inside(draft.free_name("history", columns))
    return Question(
        f"the histories for {spec}: from a file (--history FILE), or from columns that are numbered alike (there are "
        f"{there})",
        (
            ("data", f"temporal: {{{name}: {{columns: {{CHANNEL: [FIRST_STEP, SECOND_STEP]}}}}}}"),
            ("inputs", f"{in_a_line(spec.name)}: {name}"),
        ),
    )


def _ask_columns(spec: InputSpec, left: Sequence[str], draft: Draft) -> Question:
    what = f"what {spec} receives, in the model's order. Nothing else takes {len(left)} columns: {name_list(left)}"
    if spec.n_cells == 1:
        return Question(what, (("inputs", f"{in_a_line(spec.name)}: COLUMN"),))
    if draft.label is not None:
        what += f"; '{draft.label}' is left out, which seems to be the outcome ({draft.label_told_by})"
    return Question(what, (("inputs", f"{in_a_line(spec.name)}: {in_a_line(left)}"),))
