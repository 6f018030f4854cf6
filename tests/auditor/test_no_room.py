"""Too little memory or disk: refused before anything begins, or told in one line with nothing half done."""

import errno

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from nnperm_mlflow import audit, plan_audit
from nnperm_mlflow.analysis.engine.table import join_tables
from nnperm_mlflow.auditor.resources import available_memory, check_disk, check_memory
from nnperm_mlflow.auditor.workspace import State
from nnperm_mlflow.basics.errors import RoomError, TrackingError
from nnperm_mlflow.cli.main import main
from tests.support.cases import slow

MIB = 1 << 20


def test_what_takes_most_memory_is_named():
    needed = {"a block of rows (analysis: block_rows)": 300 * MIB, "tables and pictures": 20 * MIB}
    check_memory(needed, 320 * MIB)
    with pytest.raises(RoomError, match="about 320 MiB of memory, and 300 MiB are free. Most, 300 MiB, is for a block"):
        check_memory(needed, 300 * MIB)
    assert available_memory() > 0


@pytest.mark.parametrize(("most", "free"), [("max", None), (str(900 * MIB), 400 * MIB), (str(100 * MIB), 0)])
def test_in_a_container_pages_of_files_that_it_has_read_count_as_free(tmp_path, monkeypatch, most, free):
    monkeypatch.setattr("nnperm_mlflow.auditor.resources._CONTAINER", tmp_path)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 800 * MIB}))
    (tmp_path / "memory.max").write_text(f"{most}\n")
    (tmp_path / "memory.current").write_text(f"{700 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {500 * MIB}\ninactive_file {200 * MIB}\nactive_file 0\n")
    assert available_memory() == (800 * MIB if free is None else free)


def test_what_is_written_to_one_disk_is_added_up(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100 * MIB}))
    check_disk([(tmp_path, 40 * MIB), (tmp_path / "a", 60 * MIB)])
    with pytest.raises(RoomError, match=r"about 110 MiB to '.*', where 100 MiB are free. Make room, name another"):
        check_disk([(tmp_path, 50 * MIB), (tmp_path / "a", 60 * MIB)])


def test_an_audit_that_would_not_fit_begins_no_run(house, tracked, monkeypatch):
    experiment = tracked.get_experiment_by_name("tests").experiment_id
    before = len(tracked.search_runs([experiment]))
    monkeypatch.setattr("nnperm_mlflow.auditor.resources.available_memory", lambda: MIB)
    with pytest.raises(RoomError, match="of memory, and 1.00 MiB are free"):
        audit(house.config, model_uri="models:/house/1")
    assert len(tracked.search_runs([experiment])) == before


@pytest.fixture
def untimed(monkeypatch):
    """A plan that times a block fails."""

    def disturb(*_):
        raise AssertionError("a block was disturbed")

    monkeypatch.setattr("nnperm_mlflow.auditor.forecast.audit_first_block", disturb)


def test_a_plan_that_would_not_fit_is_refused_before_a_block_is_timed(house, tracked, monkeypatch, untimed):
    monkeypatch.setattr("nnperm_mlflow.auditor.resources.available_memory", lambda: MIB)
    with pytest.raises(RoomError, match="of memory, and 1.00 MiB are free"):
        plan_audit(house.config, model_uri="models:/house/1")


def test_a_plan_of_more_repeats_than_the_disk_holds_is_refused_at_once(house, tracked, monkeypatch, untimed):
    """A block of so many would take minutes."""
    settings = {**house.settings(), "analysis": {"repeats": 100_000, "block_rows": 1}}
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1024 * MIB}))
    with pytest.raises(RoomError, match="to '.*', where 1,024 MiB are free"):
        plan_audit(settings, model_uri="models:/house/1")


def test_a_plan_looks_at_the_disks_that_the_audit_would_write_to(house, tracked, monkeypatch, tmp_path, untimed):
    def refuse(needed):
        raise RoomError(" and ".join(str(path) for path, _ in needed))

    monkeypatch.setattr("nnperm_mlflow.auditor.resources.check_disk", refuse)
    output, work = tmp_path / "output", tmp_path / "work"
    with pytest.raises(RoomError, match=f"^{output} and {work}$"):
        plan_audit(house.config, model_uri="models:/house/1", output=output, work_dir=work)
    with pytest.raises(RoomError, match=f"^{work}/results/[^/]+ and {work}$"):
        plan_audit(house.config, model_uri="models:/house/1", work_dir=work)


def test_a_plan_leaves_no_directory_that_was_not_there(house, tracked, tmp_path):
    (tmp_path / "there").mkdir()
    plan_audit(
        house.config, model_uri="models:/house/1", output=tmp_path / "a" / "b", work_dir=tmp_path / "there" / "c" / "d"
    )
    plan_audit(house.config, model_uri="models:/house/1", output=tmp_path / "there", work_dir=tmp_path / "there")
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


@pytest.mark.parametrize(("option", "called"), [("--output", "output"), ("--work-dir", "work")])
def test_a_plan_refuses_a_directory_that_cannot_be_written(house, store, tmp_path, option, called):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(
        main,
        ["audit", "--plan", "--model-uri", "models:/house/1", "--config", str(house.config), "--tracking-uri", store,
         option, str(tmp_path / "file")],
    )  # fmt: skip
    assert result.exit_code == 2
    assert f"ConfigError: the {called} directory '{tmp_path / 'file'}' cannot be written" in result.stderr


@pytest.mark.parametrize(
    ("analysis", "n_tables"), [({"repeats": 7}, 7), *slow(({"precision": 1e-9, "max_repeats": 7}, 14))]
)
def test_the_disk_is_looked_at_for_all_repeats_that_there_may_be(house, tracked, monkeypatch, analysis, n_tables):
    """Where their number is found out, the parts of the table and the whole are there at once."""
    settings = {**house.settings(), "analysis": {"repeats": "auto", **analysis}}
    asked = []
    monkeypatch.setattr("nnperm_mlflow.auditor.resources.check_disk", asked.extend)
    result = audit(settings, model_uri="models:/house/1")
    (_, of_table), (_, of_work) = asked
    one = 4 * 400 * len(result.summary)
    assert of_table > n_tables * one
    assert of_work > 7 * one


@pytest.mark.parametrize(
    "analysis", [{}, *slow({"profile": ["age", "region"]}, {"repeats": 3, "scores": ["neg_log_loss"]})]
)
def test_no_more_is_kept_than_the_disk_was_looked_at_for(house, tracked, tmp_path, monkeypatch, analysis):
    settings = {**house.settings(), "analysis": {**analysis, "block_rows": 100}}
    asked, kept = [], []
    monkeypatch.setattr("nnperm_mlflow.auditor.resources.check_disk", asked.extend)
    monkeypatch.setattr(State, "remove", lambda state: kept.extend(state.folder.rglob("*.sheet")))
    audit(settings, model_uri="models:/house/1", work_dir=tmp_path)
    (_, _), (_, of_work) = asked
    on_disk = sum(-(-path.stat().st_size // 4096) * 4096 for path in kept)
    assert on_disk <= of_work <= 8 * on_disk


def test_a_table_that_cannot_be_joined_leaves_nothing_half_written(tmp_path, monkeypatch):
    parts = [tmp_path / "0", tmp_path / "1"]
    for part in parts:
        pq.write_table(pa.table({"a": [1.0]}), part)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        join_tables(parts, tmp_path / "table")
    assert sorted(tmp_path.iterdir()) == parts


@pytest.mark.slow
def test_a_disk_that_is_full_in_the_middle_is_told_and_what_is_finished_stays(house, tracked, tmp_path, monkeypatch):
    settings = {**house.settings(), "analysis": {"seed": 3, "block_rows": 100}}
    from nnperm_mlflow.analysis.engine import journal

    write, written = journal._write_whole, 0

    def full(folder, name, content):
        nonlocal written
        written += 1
        if written == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        write(folder, name, content)

    monkeypatch.setattr(journal, "_write_whole", full)
    with pytest.raises(
        TrackingError, match="the disk or the network refused at '.*': No space left on device. Make room"
    ):
        audit(settings, model_uri="models:/house/1", work_dir=tmp_path)
    monkeypatch.setattr(journal, "_write_whole", write)
    assert len(list(tmp_path.glob("states/*/blocks/*.sheet"))) == 2
    assert not list(tmp_path.glob("states/*/blocks/*.partial"))
    assert audit(settings, model_uri="models:/house/1", work_dir=tmp_path).summary["rows"][0] == 400
