"""The file that is written: a configuration that says what was found, whatever letters names have."""

import numpy as np
import pytest
import yaml

from nnperm_mlflow.auditor.proposal.document import config_text, write_config
from nnperm_mlflow.auditor.proposal.draft import Assumption, Draft, Question
from nnperm_mlflow.auditor.proposal.result import Proposal
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import load_config
from nnperm_mlflow.inputs.dataset import Series
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.model_uri import ModelReference

HOSTILE = [
    "a: b", "yes", "null", "1.5", "1e5", "# no comment", "- item", "[", "{a}", "a, b", "*alias", "&anchor", "!tag", "'",
    '"', "%", "@", " ", "two\nlines", "back\\slash", "\x1b[2J", "\u2028", "é ü 漢", "\ud7ff", "x" * 200, "<<", "=", "~",
    "2020-01-01", "0x10",
]  # fmt: skip
NUMBER = np.dtype("float32")


def proposal(draft, *specs, static="clients.csv", output=(None, ""), kinds=None):
    reference = ModelReference("models:/credit@champion", "models:/credit/3", "credit", "3")
    return Proposal(reference, tuple(specs), static, 30, draft, None, output, kinds or {})


def written(one, tmp_path):
    write_config(one, tmp_path / "it.yaml", force=True)
    return load_config(tmp_path / "it.yaml")


def uncommented(text, start):
    """The text without the `# ` of the lines from the one that begins so on, as long as they are comments."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip().startswith(start)) + 1
    for number in range(first, len(lines)):
        if not lines[number].lstrip().startswith("# ") or "OPEN" in lines[number]:
            break
        lines[number] = lines[number].replace("# ", "", 1)
    return "\n".join(lines)


def test_names_of_whatever_letters_are_read_back_as_they_were(tmp_path):
    draft = Draft(row_id=HOSTILE[0], label=HOSTILE[1], label_told_by=HOSTILE[18])
    for name in HOSTILE:
        draft.give(f"{name}_input", name, f"because of {name}")
        draft.left_out[f"out {name}"] = "no input takes it"
    draft.give("num_input", HOSTILE, "all")
    draft.temporal["h\n"] = Series(tuple(HOSTILE), columns={name: (f"{name}1", f"{name}2") for name in HOSTILE})
    draft.give("temporal_input", "h\n", "numbered alike")
    draft.assumptions.append(Assumption("steps", "h\n", "# by names\nand: more"))
    draft.questions.append(Question("what is open\n  inputs: {}", (("inputs", "a: b"),)))
    specs = [InputSpec(name, (1,), NUMBER) for name in draft.inputs]
    config = written(proposal(draft, *specs, kinds=dict.fromkeys(HOSTILE, "category")), tmp_path)
    assert config.model == "models:/credit@champion"
    assert config.inputs == draft.inputs
    assert (config.data.row_id, config.data.label) == (HOSTILE[0], HOSTILE[1])
    expected = {name: list(steps) for name, steps in draft.temporal["h\n"].columns.items()}
    assert config.data.temporal["h\n"].columns == expected
    assert list(config.data.temporal["h\n"].columns) == list(expected)


def test_paths_below_the_file_are_relative_to_it_and_others_absolute(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    draft = Draft(files={"h": str(tmp_path / "far.npy")}, temporal={"h": Series(("h",), np.zeros((2, 3)))})
    monkeypatch.chdir(folder)
    text = config_text(proposal(draft, static="data/clients.csv"), folder)
    data = yaml.safe_load(text)["data"]
    assert (data["static"], data["temporal"]["h"]["file"]) == ("data/clients.csv", str(tmp_path / "far.npy"))
    assert yaml.safe_load(config_text(proposal(Draft(), static="runs:/0123/a.csv"), folder))["data"] == {
        "static": "runs:/0123/a.csv"
    }


def test_what_is_open_is_a_comment_that_becomes_the_line_that_decides(tmp_path):
    draft = Draft()
    draft.give("age_input", "age", "by its name")
    draft.questions.append(Question("what 'num_input' receives", (("inputs", "num_input: [a, b]"),)))
    specs = [InputSpec("age_input", (1,), NUMBER), InputSpec("num_input", (2,), NUMBER)]
    config = written(proposal(draft, *specs), tmp_path)
    assert config.inputs == {"age_input": "age"}
    text = (tmp_path / "it.yaml").read_text()
    decided = yaml.safe_load(uncommented(text, "# OPEN: what 'num_input'"))
    assert decided["inputs"] == {"age_input": "age", "num_input": ["a", "b"]}


def test_of_two_orders_of_steps_either_block_can_be_taken(tmp_path):
    one, other = Series(("b",), columns={"b": ("b1", "b2")}), Series(("b",), columns={"b": ("b2", "b1")})
    draft = Draft(temporal={"history": one}, undecided={"history": (one, other)}, row_id="ID")
    draft.give("h", "history", "numbered alike")
    assert written(proposal(draft, InputSpec("h", (2, 1), NUMBER)), tmp_path).data.temporal == {}
    text = (tmp_path / "it.yaml").read_text()
    for first, steps in (("b1", ["b1", "b2"]), ("b2", ["b2", "b1"])):
        decided = yaml.safe_load(uncommented(text, f"# OPEN: the steps of history. If {first} is the first"))
        assert decided["data"]["temporal"]["history"]["columns"] == {"b": steps}
        assert decided["data"]["row_id"] == "ID"


def test_each_thing_more_to_ask_is_one_that_can_be_asked(tmp_path):
    draft = Draft()
    draft.give("num_input", ["age", "sex"], "all")
    kinds = {"age": "number", "sex": "category", "PAY": "series"}
    spec = InputSpec("num_input", (2,), NUMBER)
    text = config_text(proposal(draft, spec, output=(1, "the second"), kinds=kinds), tmp_path)
    asked = yaml.safe_load(uncommented(text, "# More to ask"))["analysis"]
    assert asked == {"repeats": 5, "output": 1, "windows": 3, "order": True, "set": {"sex": "all"}, "profile": ["age"]}
    (tmp_path / "more.yaml").write_text(uncommented(text, "# More to ask"))
    assert load_config(tmp_path / "more.yaml").analysis.windows == 3


def test_a_file_that_is_there_stays_unless_it_may_go(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"is there already. Write over it \(--force\), or name another file"):
        write_config(proposal(Draft()), path)
    assert path.read_text() == "mine"
    write_config(proposal(Draft()), path, force=True)
    assert "models:/credit@champion" in path.read_text()
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        write_config(proposal(Draft()), tmp_path / "nowhere" / "it.yaml")
