"""Audits on a cluster of two executors, on loopback: the numbers of one process, whatever happens there."""

import json

import mlflow
import pandas as pd
import pytest

import nnperm_mlflow
from nnperm_mlflow.analysis.blockwise.columns import BLOCK, OUTCOME
from nnperm_mlflow.basics.errors import AuditError, ConfigError, DataError, EvidenceError, PredictionError
from nnperm_mlflow.spark import cluster, cluster_rows
from tests.support.lake import (
    keep_versions,
    register_network,
    running_cluster,
    settings_for,
    table_of,
    what_is_missing,
    write_lake,
)
from tests.support.mortal import Mortal, send_as_it_is
from tests.support.simulations import in_full

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing())]

N_ROWS = 65_537  # two shuffle blocks
CLUSTER = "local-cluster[2,1,1024]"


@pytest.fixture(scope="module")
def lake(store, tmp_path_factory):
    """The rows and the network, and the audit of one process."""
    folder = tmp_path_factory.mktemp("lake")
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("lake")
    register_network(write_lake(folder, N_ROWS))
    one = nnperm_mlflow.audit(settings_for(folder / "one.parquet"), work_dir=folder / "work")
    return folder, one


@pytest.fixture(scope="module")
def session(lake):
    with running_cluster(CLUSTER) as running:
        yield running


def on_cluster(folder, name, repeats=1, **given):
    config = settings_for(folder / "lake", repeats=repeats)
    return nnperm_mlflow.audit(
        config, engine="spark", table=folder / name, work_dir=folder / "work", output=folder / f"{name} files", **given
    )


def table_at(place):
    return pd.read_parquet(place).drop(columns=[BLOCK, OUTCOME]).sort_values(["repeat", "row"]).reset_index(drop=True)


def refuse_difference(one, two, place):
    pd.testing.assert_frame_equal(two.summary, one.summary, check_exact=True)
    told = one.table.sort_values(["repeat", "row"]).reset_index(drop=True)
    found = table_at(place)
    assert [*found] == [*told]
    for name in told:
        same = found[name].to_numpy(), told[name].to_numpy()
        assert list(same[0]) == list(same[1]) if same[0].dtype == object else same[0].tobytes() == same[1].tobytes()


def test_the_audit_of_a_cluster_is_that_of_one_process_bit_for_bit(lake, session, tracked):
    """And its run says where the table is, what its parts are, and the digest of the rows that both tell."""
    folder, one = lake
    two = on_cluster(folder, "first")
    refuse_difference(one, two, folder / "first")
    assert two.verdict.status == one.verdict.status == "pass"
    told, found = (tracked.get_run(each.run_id).data for each in (one, two))
    assert found.params["rows_digest"] == told.params["rows_digest"] == found.params["data_digest"]
    assert found.tags["nnperm.table"] == str(folder / "first")
    names = {file.path for file in tracked.list_artifacts(two.run_id)}
    assert {"table.json", "counts.npz", "summary.csv"} <= names
    assert "deviations.parquet" not in names
    assert len(json.loads((folder / "first files" / "table.json").read_text())["parts"]) == 2
    with pytest.raises(EvidenceError, match="in parts on the cluster's storage"):
        _ = two.table
    assert nnperm_mlflow.check(run_id=two.run_id).verdict.status == "pass"
    with pytest.raises(ConfigError, match="there are rows in"):
        on_cluster(folder, "first")
    promoted = nnperm_mlflow.promote("models:/lake/1", "champion", run_id=two.run_id, reads_data=False)
    assert promoted.verdict == "pass"


def failed_tasks(session):
    """How many tasks of the session have failed so far."""
    told = session.sparkContext.statusTracker()
    return sum(stage.numFailedTasks for stage in map(told.getStageInfo, range(500)) if stage is not None)


def test_a_python_worker_and_an_executor_that_die_change_no_number(lake, session, tracked, monkeypatch, tmp_path):
    """Each of them once, while it gives the rows of a block; what an executor had moved is moved again."""
    folder, one = lake
    send_as_it_is()
    monkeypatch.setattr(cluster, "worker", Mortal(tmp_path))
    two = on_cluster(folder, "mortal")
    assert {file.name for file in tmp_path.iterdir()} == {"block 0", "block 1"}
    refuse_difference(one, two, folder / "mortal")


@pytest.mark.parametrize(
    ("n_rows", "n_slices", "repeats"),
    in_full([(65_536, 3, 1), (200_000, 1, 1), (200_000, 2, 1), (200_000, 1, 3)], [(65_536, 3, 1)]),
)
@pytest.mark.usefixtures("lake", "session", "tracked")
def test_blocks_in_slices_and_many_blocks_are_the_audit_of_one_process(
    n_rows, n_slices, repeats, monkeypatch, tmp_path
):
    """A model that is slow makes slices; how many, here the test says."""
    monkeypatch.setattr(cluster_rows, "count_slices", lambda seconds, n_perturbations: n_slices)
    write_lake(tmp_path, n_rows)
    one = nnperm_mlflow.audit(settings_for(tmp_path / "one.parquet", repeats=repeats), work_dir=tmp_path / "work")
    refuse_difference(one, on_cluster(tmp_path, "table", repeats=repeats), tmp_path / "table")


def test_a_plan_tells_tasks_bytes_and_time_and_leaves_no_table(lake, session, tracked):
    """Of the rows: 8 bytes a number, 4 a code, 24 a history and 8 of its place are about what a row moves."""
    folder, _ = lake
    planned = nnperm_mlflow.plan_audit(
        settings_for(folder / "lake"), engine="spark", table=folder / "planned", work_dir=folder / "work"
    )
    told, tasks = dict(planned.facts), planned.tasks
    assert told["tasks"].startswith("2 of at most 32,769 rows, ")
    assert (tasks.count, tasks.slices, tasks.rows) == (2, 1, 32_769)
    assert N_ROWS * 40 <= tasks.moved_bytes <= N_ROWS * 60
    assert told["moved"].endswith("MiB between the machines of the cluster, about")
    assert planned.seconds == pytest.approx(tasks.seconds * N_ROWS / tasks.rows)
    assert told["expected time"].endswith("s of one core, shared among those of the cluster")
    assert "memory" not in told
    assert not (folder / "planned").exists()


def test_a_table_that_keeps_no_versions_is_refused_with_what_can_be_given(lake, session, tracked):
    """Spark has none by itself that does."""
    folder, _ = lake
    session.read.parquet(str(folder / "lake")).limit(50).write.saveAsTable("clients")
    settings = settings_for(folder / "lake")
    settings["data"] |= {"static": None, "table": "clients", "version": 3}
    with pytest.raises(ConfigError, match=r"'clients' is no table that keeps its versions.*data=spark\.table"):
        nnperm_mlflow.audit(settings, table=folder / "none", work_dir=folder / "work")


def test_a_table_is_audited_in_the_version_that_is_named(session, tracked, tmp_path):
    """And the run says which: its name, and its digest, which is that of the file with these rows."""
    keep_versions(session, "kept", tmp_path)
    table = table_of(3_000)
    register_network(table, "kept")
    table.to_parquet(tmp_path / "one.parquet", index=False)
    for version, rows in {"1": table.sample(frac=1, random_state=5), "2": table.head(2_000)}.items():
        (tmp_path / "clients" / version).mkdir(parents=True)
        for number, part in enumerate((rows.iloc[:700], rows.iloc[700:])):
            part.to_parquet(tmp_path / "clients" / version / f"{number}.parquet", index=False)
    settings = settings_for(tmp_path / "one.parquet", "kept")
    one = nnperm_mlflow.audit(settings, work_dir=tmp_path / "work")
    settings["data"] |= {"static": None, "table": "kept.lake.clients", "version": 1}
    two = nnperm_mlflow.audit(settings, table=tmp_path / "t", work_dir=tmp_path / "work")
    refuse_difference(one, two, tmp_path / "t")
    told, found = (tracked.get_run(each.run_id) for each in (one, two))
    assert found.data.params["rows_digest"] == told.data.params["rows_digest"]
    assert [each.dataset.name for each in found.inputs.dataset_inputs] == ["kept.lake.clients, version 1"]
    settings["data"]["version"] = 2
    later = nnperm_mlflow.audit(settings, table=tmp_path / "u", work_dir=tmp_path / "work")
    assert int(later.summary["rows"].iloc[0]) == 2_000
    settings["data"]["version"] = 9
    with pytest.raises(AuditError, match=r"kept.*lake.*clients.* cannot be found"):
        nnperm_mlflow.audit(settings, table=tmp_path / "v", work_dir=tmp_path / "work")


def test_a_frame_in_any_order_is_audited_as_the_file_that_its_row_ids_sort(session, tracked, tmp_path):
    """In five partitions, with histories as lists of lists, and three repeats."""
    table = table_of(3_000)
    register_network(table, "small")
    table.to_parquet(tmp_path / "one.parquet", index=False)
    mixed = table.sample(frac=1, random_state=5)
    mixed["history"] = [[list(map(float, step)) for step in cells.reshape(3, 2)] for cells in mixed["history"]]
    rows = mixed.to_dict("records")
    kinds = "client string, age double, income float, flag double, region int, history array<array<float>>"
    frame = session.createDataFrame(rows, kinds).repartition(5)
    settings = settings_for(tmp_path / "one.parquet", "small", repeats=3)
    one = nnperm_mlflow.audit(settings, work_dir=tmp_path / "work")
    settings["data"].pop("static")
    two = nnperm_mlflow.audit(settings, data=frame, table=tmp_path / "t", work_dir=tmp_path / "work")
    refuse_difference(one, two, tmp_path / "t")
    assert one.summary["median_spread"].max() > 0
    doubled = frame.union(frame.limit(1))
    with pytest.raises(DataError, match=r"'client' tells 3,000 of 3,001 rows .* apart"):
        nnperm_mlflow.audit(settings, data=doubled, table=tmp_path / "d", work_dir=tmp_path / "work")


def test_what_is_wrong_in_a_worker_is_told_once_and_leaves_a_table_without_rows(lake, session, tracked, monkeypatch):
    """Here that it predicts other numbers than the driver, as a processor of another kind may."""
    folder, _ = lake
    shipped = cluster_rows.Shipment
    monkeypatch.setattr(
        cluster_rows,
        "Shipment",
        lambda digest, files, reference, probe, exact, baseline: shipped(
            digest, files, reference, probe, exact, baseline + 1
        ),
    )
    before = failed_tasks(session)
    with pytest.raises(PredictionError, match=r"a worker predicts other numbers than the driver \(by up to 1\)"):
        on_cluster(folder, "wrong")
    assert failed_tasks(session) == before
    assert len(pd.read_parquet(folder / "wrong")) == 0
