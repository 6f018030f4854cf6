"""The configuration file: what it takes, what it refuses, and in which words."""

import json
import re
import textwrap

import pydantic
import pytest
import yaml

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import AuditConfig, is_uri, load_config, parse_config

EXAMPLE = """
model: models:/credit/3
data:
  static: credit_test.parquet
  row_id: ID
  label: default
  temporal:
    history: {file: credit_history.npy, channels: [PAY, BILL_AMT, PAY_AMT], channel_axis: 2}
inputs:
  num_input: [LIMIT_BAL, AGE]
  SEX_input: SEX
  temporal_input: history
analysis:
  {repeats: 1, seed: 0, block_rows: auto, rare_below: 0.05, set: {SEX: [2]}, groups: {}, exclude: [], output: null}
checks: []
"""


def write(folder, text):
    path = folder / "audit.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def refusal(folder, text):
    """Return the message with which a configuration is refused."""
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, text))
    return str(caught.value)


def test_the_documented_example_says_what_its_lines_say(tmp_path):
    config = load_config(write(tmp_path, EXAMPLE))
    assert config.model == "models:/credit/3"
    assert config.data.static == str(tmp_path / "credit_test.parquet")
    assert (config.data.row_id, config.data.label) == ("ID", "default")
    history = config.data.temporal["history"]
    assert history.file == str(tmp_path / "credit_history.npy")
    assert (history.channels, history.channel_axis) == (["PAY", "BILL_AMT", "PAY_AMT"], 2)
    assert config.inputs == {"num_input": ["LIMIT_BAL", "AGE"], "SEX_input": "SEX", "temporal_input": "history"}
    assert config.analysis.set == {"SEX": [2]}
    assert config.checks == []


def test_the_analysis_of_the_documented_example_is_the_default(tmp_path):
    said = load_config(write(tmp_path, EXAMPLE)).analysis
    assert said.model_copy(update={"set": {}}) == AuditConfig().analysis


def test_a_history_of_columns_keeps_their_order(tmp_path):
    text = "data: {temporal: {history: {columns: {PAY: [PAY_6, PAY_5], BILL_AMT: [BILL_AMT6, BILL_AMT5]}}}}"
    history = load_config(write(tmp_path, text)).data.temporal["history"]
    assert list(history.columns.items()) == [("PAY", ["PAY_6", "PAY_5"]), ("BILL_AMT", ["BILL_AMT6", "BILL_AMT5"])]


def test_an_empty_file_is_all_defaults(tmp_path):
    assert load_config(write(tmp_path, "")) == AuditConfig()


@pytest.mark.parametrize(
    ("text", "unknown", "nearest"),
    [
        ("modell: models:/a/1", "unknown key 'modell';", "model"),
        ("data: {statik: a.csv}", "unknown key 'statik' under 'data';", "static"),
        (
            "data: {temporal: {history: {file: a.npy, channels: [a], chanel_axis: 2}}}",
            "unknown key 'chanel_axis' under 'data: temporal: history';",
            "channel_axis",
        ),
        ("analysis: {repeat: 2}", "unknown key 'repeat' under 'analysis';", "repeats"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_known_one_is_named(tmp_path, text, unknown, nearest):
    message = refusal(tmp_path, text)
    assert unknown in message
    assert f"Did you mean '{nearest}'?" in message


def test_a_temporal_array_called_as_a_section_is_judged_by_the_keys_of_temporal_data(tmp_path):
    message = refusal(tmp_path, "data: {temporal: {analysis: {file: a.npy, channels: [a], repeats: 2}}}")
    assert "'channels'" in message
    assert "'seed'" not in message


def test_every_mistake_is_told_at_once(tmp_path):
    message = refusal(tmp_path, "{modle: a, analysis: {sed: 1, repeats: none}}")
    assert "'model'" in message
    assert "'seed'" in message
    assert "'analysis: repeats'" in message


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("model: 3", "'model'"),
        ("data: credit.csv", "'data'"),
        ("data: {row_id: 1}", "'data: row_id'"),
        ("analysis: {repeats: '3'}", "'analysis: repeats'"),
        ("analysis: {repeats: 1.0}", "'analysis: repeats'"),
        ("analysis: {repeats: true}", "'analysis: repeats'"),
        ("analysis: {repeats: 0}", "'analysis: repeats'"),
        ("analysis: {seed: -1}", "'analysis: seed'"),
        ("analysis: {rare_below: 1.5}", "'analysis: rare_below'"),
        ("analysis: {rare_below: .nan}", "'analysis: rare_below'"),
        ("analysis: {block_rows: all}", "'analysis: block_rows"),
        ("analysis: {block_rows: 0}", "'analysis: block_rows"),
        ("analysis: {exclude: AGE}", "'analysis: exclude'"),
        ("analysis: {set: {SEX: 2}}", "'analysis: set: SEX'"),
        ("analysis: {set: {SEX: []}}", "'analysis: set: SEX'"),
        ("analysis: {set: {SEX: [[2]]}}", "'analysis: set: SEX"),
        ("analysis: {groups: {bill: []}}", "'analysis: groups: bill'"),
        ("inputs: {num_input: []}", "'inputs: num_input"),
        ("inputs: {num_input: 3}", "'inputs: num_input"),
        ("data: {temporal: {h: {file: a.npy, channels: [a], channel_axis: 3}}}", "'data: temporal: h: channel_axis'"),
        ("data: {temporal: {h: {columns: {PAY: []}}}}", "'data: temporal: h: columns: PAY'"),
    ],
)
def test_a_value_of_another_type_or_range_is_refused_with_its_place(tmp_path, text, where):
    assert where in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("{}", "either 'file' or 'columns'"),
        ("{file: a.npy, channels: [a], columns: {a: [b]}}", "either 'file' or 'columns'"),
        ("{file: a.npy}", "'file' needs 'channels'"),
        ("{columns: {a: [b]}, channel_axis: 2}", "leave out 'channels' and 'channel_axis'"),
        ("{file: a.npy, channels: [PAY, BILL, PAY]}", "'PAY' is named twice"),
    ],
)
def test_temporal_data_are_one_file_or_columns_with_channels_named_once(tmp_path, spec, why):
    assert why in refusal(tmp_path, f"data: {{temporal: {{history: {spec}}}}}")


def test_names_given_twice_in_a_list_are_refused():
    with pytest.raises(ConfigError, match="'AGE' is named twice"):
        parse_config({"analysis": {"exclude": ["AGE", "SEX", "AGE"]}})
    with pytest.raises(ConfigError, match="'AGE' is named twice"):
        parse_config({"analysis": {"groups": {"both": ["AGE", "AGE"]}}})


@pytest.mark.parametrize("text", ["model: a\ndata: {}\nmodel: b", "analysis: {seed: 1, repeats: 2, seed: 3}"])
def test_a_key_given_twice_is_refused(tmp_path, text):
    key = "model" if text.startswith("model") else "seed"
    assert f"the key '{key}' is given twice" in refusal(tmp_path, text)


def test_what_is_no_yaml_is_refused(tmp_path):
    assert "is no valid YAML" in refusal(tmp_path, "model: [a")


def test_a_date_that_does_not_exist_is_no_yaml(tmp_path):
    assert "is no valid YAML" in refusal(tmp_path, "model: 2024-13-45")


def test_settings_may_be_shared_by_a_merge_key_and_overridden(tmp_path):
    text = """
    data:
      temporal:
        first: &common {file: a.npy, channels: [x], channel_axis: 1}
        second: {<<: *common, file: b.npy}
    """
    temporal = load_config(write(tmp_path, text)).data.temporal
    assert temporal["second"] == temporal["first"].model_copy(update={"file": str(tmp_path / "b.npy")})


def test_a_home_directory_that_nobody_has_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="~nobody-of-that-name"):
        load_config(write(tmp_path, "data: {static: '~nobody-of-that-name/a.csv'}"))


def test_yaml_that_would_make_python_objects_is_refused(tmp_path):
    proof = tmp_path / "ran"
    assert "is no valid YAML" in refusal(tmp_path, f"model: !!python/object/apply:pathlib.Path.touch ['{proof}']")
    assert not proof.exists()


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 10)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("model: " + "x" * 2**20, "has more than 1,048,576 bytes", id="size"),
        pytest.param("{a: " * 41 + "}" * 41, "it is nested more than 40 deep (line 1)", id="depth"),
        pytest.param("[" * 500_000, "it is nested more than 40 deep", id="depth that would end Python"),
        pytest.param("- " * 100_000, "it is nested more than 40 deep", id="depth without brackets"),
        pytest.param(f"data: [{'a, ' * 100_000}]", "it holds more than 100,000 values (line 1)", id="values"),
        pytest.param(LAUGHS, "it holds more than 100,000 values (line 5)", id="a billion laughs"),
        pytest.param(MERGES, "it holds more than 100,000 values", id="a billion merges"),
        pytest.param("data: &a {static: [*a]}", "an alias refers to what it stands in (line 1)", id="circle"),
        pytest.param("a: 0x" + "f" * 1000, "a number has more than 100 digits (line 1)", id="hexadecimal digits"),
        pytest.param("a: 1" + ":59" * 99_000, "a number has more than 100 digits", id="digits of base 60"),
        pytest.param('model: "\\ud800"', "surrogates not allowed", id="half a character"),
        pytest.param('model: "\\UFFFFFFFF"', "a value is not what its tag or escape says", id="no character"),
        *[
            pytest.param(f"model: {value}", "a value is not what its tag or escape says", id=value)
            for value in ("!!int ''", "!!float _", "!!bool x", "!!timestamp x", "!!set [a]")
        ],
    ],
)
def test_yaml_that_would_take_memory_time_or_another_exception_is_refused(tmp_path, text, message):
    assert message in refusal(tmp_path, text)


def test_as_many_values_as_are_named_is_not_too_many(tmp_path):
    names = [f"gene_{number}" for number in range(40_000)]
    text = json.dumps({"inputs": {"x": names}})  # JSON is YAML, and is written faster
    assert load_config(write(tmp_path, text)).inputs == {"x": names}


def test_what_stands_in_a_file_that_is_no_yaml_is_not_told(tmp_path):
    told = refusal(tmp_path, "\ndata: {static: https://me:hush@house/a.csv\n  row_id: [")
    assert "line 3" in told
    assert "hush" not in told


def test_thousands_of_mistakes_are_not_all_told(tmp_path):
    told = refusal(tmp_path, "".join(f"key{number}{'y' * 500}: 1\n" for number in range(1500)))
    assert told.count("unknown key") == 20
    assert told.endswith("and 1480 more")
    assert len(told) < 6_000


def test_a_list_or_a_bare_word_is_no_configuration(tmp_path):
    assert "must be a mapping with the keys 'model', 'data'" in refusal(tmp_path, "[model, data]")
    assert "must be a mapping" in refusal(tmp_path, "credit.csv")


def test_a_key_that_is_no_text_is_refused(tmp_path):
    assert "'1'" in refusal(tmp_path, "1: a")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("model: müller".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml' is not UTF-8 text"):
        load_config(path)


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.yaml' cannot be read: No such file"):
        load_config(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_relative_paths_are_relative_to_the_file_and_not_to_where_one_stands(tmp_path, monkeypatch):
    folder = tmp_path / "configs"
    folder.mkdir()
    write(folder, "data: {static: ../a.csv, temporal: {h: {file: b.npy, channels: [x]}}}")
    monkeypatch.chdir(tmp_path)
    config = load_config("configs/audit.yaml")
    assert config.data.static == str(folder / "../a.csv")
    assert config.data.temporal["h"].file == str(folder / "b.npy")


def test_absolute_paths_stay(tmp_path):
    config = load_config(write(tmp_path, "data: {static: /data/a.csv}"))
    assert config.data.static == "/data/a.csv"


@pytest.mark.parametrize(
    "uri", ["runs:/0a1b/data/a.csv", "https://house/a.csv?b=c", "s3://bucket/a.parquet", "file:///data/a.csv"]
)
def test_uris_stay_as_they_are(tmp_path, uri):
    text = f"data: {{static: '{uri}', temporal: {{h: {{file: '{uri}', channels: [x]}}}}}}"
    data = load_config(write(tmp_path, text)).data
    assert (data.static, data.temporal["h"].file) == (uri, uri)


def test_a_path_on_a_lettered_drive_is_no_uri():
    assert not is_uri("C:/data/a.csv")
    assert not is_uri("data/a.csv")
    assert is_uri("models:/credit/3")


def test_a_configuration_given_as_a_mapping_keeps_its_paths():
    assert parse_config({"data": {"static": "a.csv"}}).data.static == "a.csv"


def test_what_to_yaml_writes_is_read_as_the_same_configuration(tmp_path):
    config = load_config(write(tmp_path, EXAMPLE.replace("{SEX: [2]}", "{SEX: [2, 2.5, zwei, true], Größe: ['1']}")))
    (tmp_path / "again").mkdir()
    again = load_config(write(tmp_path / "again", config.to_yaml()))
    assert again == config
    assert again.digest() == config.digest()
    assert [type(value) for value in again.analysis.set["SEX"]] == [int, float, str, bool]
    assert again.analysis.set["Größe"] == ["1"]


def test_to_yaml_names_the_defaults_too():
    written = yaml.safe_load(AuditConfig().to_yaml())
    assert written["analysis"]["rare_below"] == 0.05
    assert set(written) == {"model", "data", "inputs", "analysis", "format", "checks", "undecided", "mode"}


def test_the_digest_changes_with_any_setting_and_not_with_saying_a_default(tmp_path):
    assert parse_config({"analysis": {"seed": 0}}).digest() == AuditConfig().digest()
    assert parse_config({"analysis": {"seed": 1}}).digest() != AuditConfig().digest()
    assert parse_config({"inputs": {"num_input": ["a"]}}).digest() != AuditConfig().digest()


def test_the_label_is_part_of_the_digest_where_it_is_used():
    def digest(label, **analysis):
        return parse_config({"data": {"static": "a.csv", "label": label}, "analysis": analysis}).digest()

    assert digest("default") == digest("paid")
    assert digest("default", scores=["roc_auc"]) != digest("paid", scores=["roc_auc"])


def test_clusters_are_part_of_the_digest_and_of_what_audits_must_share():
    plain, by_client = parse_config({}), parse_config({"data": {"cluster": "client"}})
    assert plain.digest() != by_client.digest() != parse_config({"data": {"cluster": "house"}}).digest()
    apart = [key for key, value in plain.disturbance().items() if by_client.disturbance()[key] != value]
    assert apart == ["cluster"]


def test_the_digest_of_a_configuration_without_clusters_is_what_it_was():
    assert AuditConfig().digest().startswith("1dc7b65b7153")


def test_a_configuration_cannot_be_changed():
    config = AuditConfig()
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.model = "models:/other/1"
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.analysis.seed = 3
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.data.static = "other.csv"


def test_row_weights_are_refused_and_not_ignored():
    with pytest.raises(ConfigError, match="unknown key 'weights' under 'data'"):
        parse_config({"data": {"static": "a.csv", "weights": "w"}})


@pytest.mark.parametrize(
    ("analysis", "message"),
    [
        ({"repeats": "auto"}, "'repeats: auto' needs 'precision'"),
        ({"precision": 0.1}, "'precision' goes with 'repeats: auto' or 'rows: auto'"),
        ({"p_values": True}, "'p_values' needs 'scores'"),
        ({"max_repeats": 9}, "'max_repeats' goes with 'repeats: auto'"),
        ({"windows": {" ": [1, 2]}}, "a window needs a name"),
        ({"windows": {"late": [3, 1]}}, "window 'late' ends before it begins"),
        ({"windows": {"late": [0, 2]}}, "'analysis: windows: late: 0': input should be greater than or equal to 1"),
        ({"set": {"a": "some"}}, "'analysis: set: a': input should be a valid list or input should be 'all'"),
        ({"interactions": [["a", "a"]]}, "'a' is paired with itself"),
        ({"interactions": [["a", "b"], ["b", "a"]]}, "'a', 'b' are paired twice"),
        ({"interactions": {"pairs": "auto", "scale": "log"}}, "'analysis: interactions"),
        ({"profile": {"kind": "pdp"}}, "'kind: pdp' needs 'features'"),
        ({"groups": "both"}, "'analysis: groups': input should be a valid dictionary or input should be 'auto'"),
    ],
)
def test_a_wrong_value_is_told_by_its_place_and_what_may_stand_there(analysis, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config({"analysis": analysis})


@pytest.mark.parametrize("names", [[["a"], ["a"]], [{}, {}], [1, "a", 1, "a"]])
def test_what_is_no_name_is_refused_though_it_is_there_twice(names):
    with pytest.raises(ConfigError, match="analysis: exclude"):
        parse_config({"analysis": {"exclude": names}})


@pytest.mark.parametrize("analysis", [{"repeats": 10**50}, {"decision": float("nan")}, {"decision": float("inf")}])
def test_a_number_that_no_audit_could_follow_is_refused(analysis):
    with pytest.raises(ConfigError, match=f"analysis: {next(iter(analysis))}"):
        parse_config({"analysis": analysis})


@pytest.mark.parametrize("order_by", ["mean", "median", "flipped_share", "roc_auc_drop", None])
def test_what_leads_is_a_statistic_that_is_told(order_by):
    analysis = {"order_by": order_by, "scores": ["roc_auc"]}
    assert parse_config({"analysis": analysis}).analysis.order_by == order_by


@pytest.mark.parametrize(
    ("analysis", "message"),
    [
        ({"order_by": "roc_auc_drop"}, "'order_by: roc_auc_drop' is none of 'mean', 'median', 'flipped_share'; a drop"),
        ({"order_by": "medain"}, r"needs its score under 'scores'\. Did you mean 'median'\?$"),
        ({"order_by": "loss"}, r"needs its score under 'scores'\.$"),
    ],
)
def test_what_is_not_told_cannot_lead(analysis, message):
    with pytest.raises(ConfigError, match=message):
        parse_config({"analysis": analysis})


def test_what_leads_changes_the_digest_only_where_it_decides_how_often():
    """It changes no number of an audit with so many repeats, and the digest of one without the key is what it was."""

    def digest(**analysis):
        return parse_config({"analysis": analysis}).digest()

    assert digest(repeats=3) == digest(repeats=3, order_by="median")
    auto = {"repeats": "auto", "precision": 0.1}
    assert digest(**auto, order_by="mean") != digest(**auto, order_by="median")


def test_labels_change_no_digest_and_a_configuration_without_them_is_written_as_before():
    plain, labelled = AuditConfig(), parse_config({"labels": {"PAY": "payment status", "PAY steps": ["Apr", 5]}})
    assert labelled.digest() == plain.digest()
    assert labelled.design_digest() == plain.design_digest()
    assert labelled.disturbance() == plain.disturbance()
    assert "labels" not in yaml.safe_load(plain.to_yaml())
    assert parse_config(yaml.safe_load(labelled.to_yaml())) == labelled


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"PAY": ["Apr", "May"]}, "a list calls the steps of a series: write it under 'PAY steps'"),
        ({"PAY steps": ["Apr", "Apr"]}, "'PAY steps' calls several steps 'Apr'"),
        ({"PAY": " "}, "a label says something"),
        ({"PAY": {"lable": "x"}}, "Did you mean 'label'?"),
        ({"PAY": "x" * 301}, "at most 300 characters"),
    ],
)
def test_a_label_that_says_nothing_or_something_else_is_refused(labels, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        parse_config({"labels": labels})
