"""Verdicts and deviation tables that somebody has written by hand: whatever they hold, they are refused in words."""

import copy
import json
from contextlib import suppress
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnperm_mlflow import audit
from nnperm_mlflow.analysis.difference.recomputation import confirm_summary
from nnperm_mlflow.analysis.difference.recorded_table import read_provenance
from nnperm_mlflow.analysis.difference.table_comparison import compare_tables
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.table import METADATA_KEY
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.summary_file import read_summary
from nnperm_mlflow.promotion.terms import Terms
from nnperm_mlflow.promotion.verdict_confirmation import confirm_verdict
from nnperm_mlflow.registry.records import RunFiles, record_in
from nnperm_mlflow.verdict.verdict import GivenVerdict, Verdict
from tests.support.house import build_house, register
from tests.support.plain import PlainPredictor, bound
from tests.support.simulations import in_full

KEPT = {"name": "no reliance on region", "feature": "region", "max": 0.9}
OF_OTHER_TYPES = [None, True, -1, 1.5, 1 << 70, "", "x", [], [1], [["x"]], {}, {"x": 1}, float("nan")]
NO_DOCUMENTS = [
    b"",
    b"{",
    b"null",
    b"5",
    b"[]",
    b'["verdict"]',
    b'{"seed": NaN',
    b"\xff\xfe",
    b'"\\ud800"',
    b"[" * 10**5,
]
DEEP = b"[" * 100_000 + b"]" * 100_000
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def places_in(document, place=()):
    """Yield the keys that lead to each value that a document holds."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield (*place, key)
        yield from places_in(value, (*place, key))


def mutilated(document):
    """Yield a document with each of its values taken out, and with each one replaced by values of other types."""
    for *parents, last in list(places_in(document)):
        for value in (..., *OF_OTHER_TYPES):
            changed = copy.deepcopy(document)
            home = changed
            for key in parents:
                home = home[key]
            if value is ...:
                del home[last]
            elif type(value) is type(home[last]) or value == home[last]:  # as True is 1
                continue
            else:
                home[last] = value
            yield (*parents, last), json.dumps(changed).encode()


def with_deep(document, key):
    """Return a document that holds lists in lists in lists."""
    return json.dumps({**document, key: "deep"}).encode().replace(b'"deep"', DEEP)


def same_each_time(count):
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


# A verdict


@pytest.fixture(scope="module")
def judged(store, tmp_path_factory):
    """An audit with a verdict that compares with another version; `confirm(content)` reads another verdict.json."""
    mlflow.set_tracking_uri(store)
    home = build_house(tmp_path_factory.mktemp("forging"), "forged")
    baseline = f"models:/forged/{register(home)}"
    version = f"models:/forged/{register(home)}"
    checks = [KEPT, {"against": baseline, "statistic": "mean", "max_shift": 0.9}]
    audit(home.settings(), model_uri=baseline)
    run_id = audit({**home.settings(), "checks": checks}, model_uri=version).run_id
    client, folder = mlflow.MlflowClient(), tmp_path_factory.mktemp("read")
    text = mlflow.artifacts.load_text(f"runs:/{run_id}/verdict.json")

    class Forged(RunFiles):
        """The audit's own files, but for its verdict."""

        def fetch(self, name, digest=None):
            return folder / name if name == "verdict.json" else super().fetch(name, digest)

    def confirm(content):
        (folder / "verdict.json").write_bytes(content)
        record = record_in(client.get_run(run_id), Forged(client, run_id, folder))
        policy = Policy.model_validate({"checks": checks})
        return confirm_verdict(client, record, folder, terms=Terms(), policy=policy).verdict

    found = confirm(text.encode())
    with pytest.MonkeyPatch.context() as patch:  # what the numbers give is the same each time
        patch.setattr("nnperm_mlflow.promotion.verdict_confirmation.judge_against", lambda *args, **more: found)
        yield SimpleNamespace(told=json.loads(text), found=found, confirm=confirm)


def test_a_verdict_as_it_was_written_is_confirmed_and_more_beside_it_is_passed_over(judged):
    assert isinstance(judged.found, Verdict)
    assert judged.confirm(json.dumps({**judged.told, "more": [1]}).encode()) is judged.found
    assert set(GivenVerdict.model_fields) < set(judged.told)


@pytest.mark.slow
def test_a_mutilated_verdict_is_refused_in_words(judged):
    refused = []
    for place, content in [*mutilated(judged.told)][:: in_full(1, 5)]:
        if place[0] in GivenVerdict.model_fields:
            with pytest.raises(EvidenceError):
                judged.confirm(content)
            refused.append(place)
        else:
            assert judged.confirm(content) is judged.found  # such as the version of nnperm, which decides nothing
    assert len(refused) > in_full(500, 100)


@pytest.mark.parametrize("content", NO_DOCUMENTS, ids=lambda content: repr(content[:12]))
def test_a_file_that_is_no_verdict_is_refused(judged, content):
    with pytest.raises(EvidenceError, match=r"verdict\.json of run \w+ is not what was written there"):
        judged.confirm(content)


@pytest.mark.parametrize("key", [*GivenVerdict.model_fields, "more"])
def test_a_verdict_that_is_nested_too_deep_is_refused(judged, key):
    with pytest.raises(EvidenceError, match="no JSON object"):
        judged.confirm(with_deep(judged.told, key))


@pytest.mark.parametrize("key", GivenVerdict.model_fields)
def test_what_is_wrong_in_a_verdict_is_named_and_not_shown(judged, key):
    with pytest.raises(EvidenceError) as caught:
        judged.confirm(json.dumps({**judged.told, key: [{"a-value": "of-the-data"}, 5]}).encode())
    if key == "checks":
        assert "(wrong or missing: 'checks')" in str(caught.value)
    assert f"'{key}'" in str(caught.value)
    assert "of-the-data" not in str(caught.value)
    with pytest.raises(EvidenceError, match=rf"\(wrong or missing: '{key}'\)"):
        judged.confirm(json.dumps({name: value for name, value in judged.told.items() if name != key}).encode())


@same_each_time(300)
@given(key=st.sampled_from(list(GivenVerdict.model_fields)), value=ANYTHING)
def test_any_value_in_a_verdict_is_that_of_the_evidence_or_is_refused(judged, key, value):
    try:
        assert judged.confirm(json.dumps({**judged.told, key: value}).encode()) is judged.found
    except EvidenceError:
        assert value != judged.told[key]


# A deviation table


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A deviation table with its summary; `read(metadata)` reads all of it, with other metadata."""
    folder, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(2)
    data = pd.DataFrame({"dose": rng.normal(size=60), "age": rng.normal(size=60)})
    specs, inputs = bound(data, numbers=list(data))
    plan = plan_perturbations(inputs, "", AnalysisConfig(set={"dose": [7.0]}))
    job = Job(
        PlainPredictor(specs, lambda given: given["num_input"] @ [1.0, 2.0]), inputs, plan, choose_measure(None, 1, ()),
        "", seed=0, repeats=2,
    )  # fmt: skip
    record = {"model": "models:/a/1", "model_digest": "m", "data_digest": "d", "seed": 0, "within": []}
    summary = find(job, 60, folder / "whole.parquet", lambda *_: None, record=record).summary
    whole = pq.read_table(folder / "whole.parquet")
    forged = folder / "deviations.parquet"

    def write(metadata, table=whole):
        pq.write_table(table.replace_schema_metadata(metadata), forged, row_group_size=60)

    def read(told):
        write({METADATA_KEY: told})
        confirm_summary(forged, summary)
        for paired in (True, False):
            compare_tables(forged, forged, summary, summary, paired=paired)

    told = json.loads(whole.schema.metadata[METADATA_KEY])
    return SimpleNamespace(told=told, read=read, write=write, path=forged, whole=whole, summary=summary)


def test_a_table_as_it_was_written_is_read_and_more_beside_it_is_passed_over(table):
    table.read(json.dumps({**table.told, "more": [1]}).encode())
    seen = read_provenance(table.path)
    assert (seen.seed, seen.data_digest, seen.within) == (0, "d", [])
    assert [done.column for done in seen.perturbations] == [done["column"] for done in table.told["perturbations"]]


def test_mutilated_metadata_are_refused_in_words(table):
    """But for what an audit need not tell: the name of a value, and where it stands who the model was."""
    taken_out, refused = set(), 0
    for place, content in mutilated(table.told):
        try:
            table.read(content)
            taken_out.add(str(place[-1]))
        except EvidenceError:
            refused += 1
    assert taken_out <= {"value", "model", "model_digest", "data_digest", "within"}
    assert refused > 150


@pytest.mark.parametrize("key", ["perturbations", "seed"])
def test_metadata_without_what_must_be_told_are_refused(table, key):
    told = {name: value for name, value in table.told.items() if name != key}
    with pytest.raises(EvidenceError, match=rf"deviations\.parquet does not tell .* \(wrong or missing: '{key}'\)"):
        table.read(json.dumps(told).encode())


@pytest.mark.parametrize("key", ["perturbation", "column", "feature", "way"])
def test_a_perturbation_without_what_must_be_told_is_refused(table, key):
    told = copy.deepcopy(table.told)
    del told["perturbations"][1][key]
    with pytest.raises(EvidenceError, match=r"\(wrong or missing: 'perturbations'\)"):
        table.read(json.dumps(told).encode())


@pytest.mark.parametrize("column", ["gone", "row", "repeat", "baseline", ""])
def test_a_column_that_holds_no_deviations_is_refused(table, column):
    told = copy.deepcopy(table.told)
    told["perturbations"][1]["column"] = column
    name = told["perturbations"][1]["perturbation"]
    with pytest.raises(EvidenceError, match=f"deviations.parquet holds no deviations of '{name}'"):
        table.read(json.dumps(told).encode())


@pytest.mark.parametrize("content", NO_DOCUMENTS, ids=lambda content: repr(content[:12]))
def test_metadata_that_are_no_json_are_refused(table, content):
    with pytest.raises(EvidenceError):
        table.read(content)


@pytest.mark.parametrize("key", ["seed", "perturbations", "within", "more"])
def test_metadata_that_are_nested_too_deep_are_refused(table, key):
    with pytest.raises(EvidenceError):
        table.read(with_deep(table.told, key))


def test_a_file_without_metadata_is_refused(table):
    table.write(None)
    with pytest.raises(EvidenceError, match="is no deviation table that an audit wrote"):
        confirm_summary(table.path, table.summary)


@pytest.mark.parametrize(
    ("n_rows", "message"), [(61, "lacks rows of repeat 1"), (90, "lacks rows of repeat 1"), (0, "is no")]
)
def test_a_table_that_lacks_rows_is_refused(table, n_rows, message):
    table.write({METADATA_KEY: json.dumps(table.told)}, table.whole[:n_rows])
    with pytest.raises(EvidenceError, match="the summary is not what the deviation table says|is no deviation table"):
        confirm_summary(table.path, table.summary)
    with pytest.raises(EvidenceError, match=message):
        compare_tables(table.path, table.path, table.summary, table.summary)


def test_a_table_without_any_row_group_is_refused(table):
    with pq.ParquetWriter(table.path, table.whole.schema):
        pass
    with pytest.raises(EvidenceError, match="holds no rows"):
        compare_tables(table.path, table.path, table.summary, table.summary)


@same_each_time(200)
@given(told=ANYTHING | st.fixed_dictionaries({"seed": ANYTHING, "perturbations": ANYTHING}))
def test_whatever_json_the_metadata_are_they_are_read_or_refused(table, told):
    table.write({METADATA_KEY: json.dumps(told)})
    with suppress(EvidenceError):
        assert read_provenance(table.path).perturbations == []


@pytest.mark.parametrize("column", ["perturbation", "feature", "way", "rows", "skipped", "median", "mean", "max"])
def test_a_summary_that_lacks_a_column_is_refused(table, tmp_path, column):
    table.summary.assign(measurable=True).drop(columns=column).to_csv(tmp_path / "summary.csv", index=False)
    with pytest.raises(EvidenceError, match=f"summary.csv lacks the columns '{column}'. Audit again"):
        read_summary(tmp_path / "summary.csv")
