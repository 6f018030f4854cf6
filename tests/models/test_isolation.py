"""A trusted model's own code runs in a process of its own: what goes in, what comes out, and what does not."""

import io
import json
import os
import pickle
import struct
import tempfile
from contextlib import closing
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier

from nnperm_mlflow.basics.errors import ModelError, PredictionError, UntrustedModelError
from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.isolation._frames import MalformedError, read_answer, read_values, send_answer, send_values
from nnperm_mlflow.models.isolation._home import Home
from nnperm_mlflow.models.isolation.isolated_predictor import load_isolated
from nnperm_mlflow.models.isolation.process import _STARTED_AHEAD, ModelProcess, start_ahead, take_process
from nnperm_mlflow.models.loaders import ModelAccess
from nnperm_mlflow.models.model_uri import ModelReference
from tests.support.servers import wait_until
from tests.support.stored import Trap, by_column, dense, numbers, save, single

AGES = pd.DataFrame({"age": np.arange(40.0), "income": np.linspace(3, 4, 40)})


def opened(path, isolate=True):
    """Load a trusted model from a directory; return its access and predictor."""
    reference = ModelReference(str(path), str(path))
    access = ModelAccess(True, isolate)
    return access, access.load(download_model(reference, path), reference)


def saved(folder, code):
    """Save a model whose prediction is what some lines of Python make of a table `rows`."""
    lines = "\n".join(f"        {line}" for line in code.splitlines())
    source = f"""
import json, os, pathlib, subprocess, sys
import mlflow

class Own(mlflow.pyfunc.PythonModel):
    def predict(self, context, rows, params=None):
{lines}

mlflow.models.set_model(Own())
"""
    (folder / "own.py").write_text(source)
    signature = infer_signature(AGES, np.zeros(1))
    path = folder / "model"
    mlflow.pyfunc.save_model(str(path), python_model=str(folder / "own.py"), signature=signature, pip_requirements=[])
    return path


def forest(folder):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(500, 3)), columns=["a", "b", "c"])
    model = RandomForestClassifier(5, random_state=0).fit(table, table["a"] > table["b"])
    signature = infer_signature(table, model.predict_proba(table))
    mlflow.sklearn.save_model(
        model,
        str(folder / "model"),
        signature=signature,
        serialization_format="pickle",
        pyfunc_predict_fn="predict_proba",
        pip_requirements=["scikit-learn"],
    )
    return folder / "model", by_column(table)


def with_a_lambda(folder):
    """A network of two inputs that meet late: a change of one runs a part of it alone."""
    x, y = keras.Input((3,), name="x_input"), keras.Input((40,), name="y_input")
    own = keras.layers.Lambda(lambda given: given * 2)(x)
    wide = dense(60)(dense(60)(y))
    path = save(keras.Model([x, y], dense()(keras.layers.Concatenate()([own, wide]))), folder / "model")
    rng = np.random.default_rng(1)
    return path, {f"{name}_input": rng.normal(size=(500, n)).astype("float32") for name, n in (("x", 3), ("y", 40))}


def changes_of(inputs):
    """Change each input whole, row by row that of another row, and the first column of those that have several."""
    order = np.random.default_rng(2).permutation(len(next(iter(inputs.values()))))
    for name, array in inputs.items():
        yield Change((Slot(name),), (array[order],), order)
        if array.ndim > 1:
            yield Change((Slot(name, (0,)),), (array[::-1, 0].copy(),))


@pytest.mark.parametrize("make", [forest, with_a_lambda])
def test_a_model_apart_predicts_the_same_bits_by_the_same_calls(tmp_path, make):
    path, inputs = make(tmp_path)
    here, own = opened(path, isolate=False)
    there, isolated = opened(path)
    with closing(here), closing(there):
        assert (here.code, there.code) == ("in process", "isolated")
        assert isolated.inputs == own.inputs
        own, isolated = own.fitted(inputs), isolated.fitted(inputs)
        for fact in ("inputs", "outputs", "shares", "reuses", "row_bytes", "kept_bytes", "largest_difference", "calls"):
            assert getattr(isolated, fact) == getattr(own, fact), fact
        assert own.reuses == (make is with_a_lambda)
        (block,), (expected,) = isolated.begin([inputs]), own.begin([inputs])
        np.testing.assert_array_equal(block.baseline, expected.baseline)
        found = list(block.predict(changes_of(inputs)))
        for one, other in zip(found, expected.predict(changes_of(inputs)), strict=True):
            np.testing.assert_array_equal(one, other)
            assert not np.array_equal(one, expected.baseline)
        assert isolated.calls == own.calls
        assert isolated.takes(inputs)


@pytest.mark.slow
def test_a_network_that_needs_no_code_runs_none_though_it_is_trusted(tmp_path):
    network, given, named = single()
    access, predictor = opened(save(network, tmp_path / "model"))
    with closing(access):
        assert access.code == "none"
        np.testing.assert_allclose(predictor.begin([named])[0].baseline, network(given, training=False), rtol=1e-5)


SPY = """
seen = {"environment": dict(os.environ), "directory": os.getcwd(), "home": str(pathlib.Path.home())}
seen["descriptors"] = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
seen["modules"] = sorted(name for name in sys.modules if name.startswith("tests."))
pathlib.Path(PLACE).write_text(json.dumps(seen))
print("printed by the model")
return rows["age"].to_numpy()
"""

SECRETS = {
    "MLFLOW_TRACKING_URI": "https://user:secret@host", "MLFLOW_TRACKING_PASSWORD": "secret", "MLFLOW_RUN_ID": "secret",
    "AWS_SECRET_ACCESS_KEY": "secret", "DATABRICKS_TOKEN": "secret", "TF_TOKEN_app_terraform_io": "secret",
    "TF_VAR_password": "secret", "NVIDIA_API_KEY": "secret", "A_KEY_OF_TOMORROW": "secret", "PGPASSWORD": "secret",
}  # fmt: skip


def test_the_process_of_a_model_has_no_credentials_no_files_and_a_home_of_its_own(tmp_path, monkeypatch, capfd):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = saved(tmp_path, SPY.replace("PLACE", repr(str(tmp_path / "seen"))))
    with (tmp_path / "open").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        access, predictor = opened(path)
        with closing(access):
            np.testing.assert_array_equal(predictor.begin([by_column(AGES)])[0].baseline[:, 0], AGES["age"])
    seen = json.loads((tmp_path / "seen").read_text())
    assert not {name: value for name, value in seen["environment"].items() if "secret" in value}
    assert not any(name.startswith("MLFLOW_") for name in set(seen["environment"]) - {"MLFLOW_DISABLE_TELEMETRY"})
    assert seen["environment"]["OMP_NUM_THREADS"] == "1"
    assert seen["directory"] == seen["home"] == seen["environment"]["HOME"]
    assert Path(seen["home"]).name.startswith("nnperm-model-")
    assert not Path(seen["home"]).exists()  # it has gone with the process
    assert str(tmp_path / "open") not in seen["descriptors"]
    assert seen["modules"] == []
    out, err = capfd.readouterr()
    assert "printed by the model" not in out
    wait_until(lambda: "printed by the model" in err + capfd.readouterr().err, "what the model prints is lost")


def test_what_a_model_raises_is_told_as_it_is_here(tmp_path):
    path = saved(
        tmp_path,
        "if rows['age'].iloc[0] > 0:\n    raise TypeError(f\"secret {rows['age'].iloc[0]}\")\nreturn rows['age']",
    )
    given = by_column(AGES)
    turned = Change.of({"age": AGES["age"].to_numpy()[::-1].copy()})
    said = {}
    for isolate in (True, False):
        access, predictor = opened(path, isolate)
        with closing(access):
            block = predictor.begin([given])[0]
            with pytest.raises(PredictionError) as caught:
                list(block.predict([turned]))
            said[isolate] = str(caught.value)
            assert len(list(block.predict([Change.of({"age": given["age"]})]))) == 1  # and it goes on
        assert "secret 39" in str(caught.value.__cause__)
    assert said[True] == said[False]
    assert said[True].startswith("the model failed (TypeError)")
    assert "secret" not in said[True]


@pytest.mark.slow
def test_a_model_that_leaves_the_process_is_told_as_one_that_fails(tmp_path):
    access, predictor = opened(saved(tmp_path, "sys.exit('by itself')"))
    with closing(access), pytest.raises(PredictionError, match=r"the model failed \(SystemExit\)"):
        predictor.begin([by_column(AGES)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("os._exit(7)", "ended with exit status 7"),
        ("os.kill(os.getpid(), 9)", r"was killed \(SIGKILL\)\. Memory may have been short"),
    ],
)
def test_a_process_that_ends_is_told_in_a_line(tmp_path, end, how):
    access, predictor = opened(saved(tmp_path, end))
    with closing(access):
        for _ in range(2):  # and again, where somebody asks again
            with pytest.raises(
                PredictionError, match=f"the process in which the model's own code runs {how}"
            ) as caught:
                predictor.begin([by_column(AGES)])
            how = ""
        assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("content", ["pickle", "text"])
def test_what_a_model_writes_into_the_channel_is_neither_run_nor_believed(tmp_path, content):
    proof = tmp_path / "pwned"
    if content == "pickle":
        written = pickle.dumps(Trap(proof))
    else:
        told = json.dumps({"is": "answer", "blocks": [0], "calls": 1, "arrays": [["|O", [40, 1]]]}).encode()
        written = struct.pack(">Q", len(told)) + told
    code = f"""
pipes = [int(fd) for fd in os.listdir("/proc/self/fd") if "pipe" in os.path.realpath(f"/proc/self/fd/{{fd}}")]
for fd in pipes:
    try:
        fd > 2 and os.write(fd, {written!r})
    except OSError:
        pass  # it is read from
return rows["age"].to_numpy()"""
    access, predictor = opened(saved(tmp_path, code))
    with closing(access), pytest.raises(ModelError, match="sent something that is no answer"):
        predictor.begin([by_column(AGES)])
    assert not proof.exists()
    pickle.loads(pickle.dumps(Trap(proof)))
    assert proof.exists()


@pytest.mark.slow
def test_a_process_that_is_closed_is_gone_with_what_the_model_has_started(tmp_path):
    code = f"""
child = subprocess.Popen(["sleep", "600"])
pathlib.Path({str(tmp_path / "pids")!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
return rows["age"].to_numpy()"""
    access, predictor = opened(saved(tmp_path, code))
    with closing(access):
        predictor.begin([by_column(AGES)])
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(psutil.pid_exists(pid) for pid in pids)
    wait_until(lambda: not any(is_running(pid) for pid in pids), "something goes on")


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_predictions_that_nobody_waits_for_any_more_do_not_disturb_those_that_follow(tmp_path):
    access, predictor = opened(saved(tmp_path, "return rows['age'].to_numpy()"))
    ages = AGES["age"].to_numpy()
    each = [Change.of({"age": ages + number}) for number in range(5)]

    def failing():
        yield each[1]
        raise RuntimeError("no more of these")

    with closing(access):
        block = predictor.begin([by_column(AGES)])[0]
        with closing(block.predict(iter(each))) as some:
            np.testing.assert_array_equal(next(some)[:, 0], ages)
        with pytest.raises(RuntimeError, match="no more of these"):
            list(block.predict(failing()))
        np.testing.assert_array_equal(np.hstack(list(block.predict(each))), ages[:, None] + np.arange(5))


@pytest.mark.slow
def test_rows_that_are_let_go_of_are_let_go_of_there(tmp_path):
    """Each begun block holds its rows in the other process; their number there is what the model's side counts."""
    code = """
import gc
n_blocks = sum(type(each).__name__ == "WholeModelBlock" for each in gc.get_objects())
return 0 * rows["age"].to_numpy() + n_blocks"""
    access, predictor = opened(saved(tmp_path, code))
    with closing(access):
        counted = [predictor.begin([by_column(AGES)])[0].baseline[0, 0] for _ in range(4)]
    assert max(counted) <= 2


def test_a_process_that_was_started_ahead_is_the_one_that_is_taken_and_no_other_is():
    start_ahead()
    first, second = take_process(), take_process()
    with closing(first), closing(second):
        assert not _STARTED_AHEAD
        assert first is not second


def test_a_process_that_waits_loads_what_models_need_and_one_that_is_asked_answers_first():
    waiting, asked = ModelProcess(), ModelProcess()
    with closing(waiting), closing(asked):
        with pytest.raises(PredictionError, match="KeyError"):
            asked.ask("nothing that it knows")
        assert not _libraries(asked)
        wait_until(lambda: _libraries(waiting), "a process of which nothing is asked has loaded no library")


def _libraries(process):
    """Return the parts of scikit-learn that a process has loaded."""
    return [each.path for each in psutil.Process(process._process.pid).memory_maps() if "/sklearn/" in each.path]


# Messages


class Pipe(io.BytesIO):
    """A stream that gives and takes at most three bytes at a time."""

    def readinto(self, memory):
        return super().readinto(memoryview(memory)[:3])

    def write(self, content):
        return super().write(content[:3])


def test_messages_hold_arrays_of_any_layout_and_values_of_any_kind():
    sent = {
        "empty": np.zeros((0, 3)), "turned": numbers(4).T, "texts": np.array(["Köln", None], dtype=object),
        "change": Change((Slot("x", (slice(None), 2)),), (np.arange(3),)),
    }  # fmt: skip
    stream = Pipe()
    send_values(stream, sent)
    send_values(stream, None)
    stream.seek(0)
    found = read_values(stream)
    for name in ("empty", "turned", "texts"):
        np.testing.assert_array_equal(found[name], sent[name])
    assert found["change"].slots == sent["change"].slots
    assert read_values(stream) is None
    with pytest.raises(EOFError):
        read_values(stream)


def test_answers_hold_numbers_to_the_last_bit():
    arrays = [numbers(2), np.array([[np.nan], [np.inf]]), np.zeros((0, 2), "float16"), np.arange(6).reshape(2, 3).T]
    stream = Pipe()
    send_answer(stream, {"is": "answer", "text": "Köln\n"}, arrays)
    stream.seek(0)
    told, found = read_answer(stream)
    assert told == {"is": "answer", "text": "Köln\n"}
    for one, other in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize(
    "told",
    [
        b"{}", b"[]", b"\xff", b'{"arrays": 3}', b'{"arrays": [["O", [1]]]}', b'{"arrays": [["U3", [1]]]}',
        b'{"arrays": [["f8", [-1]]]}', b'{"arrays": [["no type", [1]]]}', b"[" * 100_000,
    ],
    ids=repr,
)  # fmt: skip
def test_an_answer_of_anything_but_numbers_is_none(told):
    with pytest.raises(MalformedError):
        read_answer(io.BytesIO(struct.pack(">Q", len(told)) + told + bytes(64)))


def test_an_answer_that_promises_more_than_comes_is_an_end():
    with pytest.raises(EOFError):
        read_answer(io.BytesIO(struct.pack(">Q", 100) + b"{}"))
    with pytest.raises(MalformedError):
        read_answer(io.BytesIO(struct.pack(">Q", 1 << 40)))


def test_a_network_that_is_not_trusted_runs_no_code_in_a_process_of_its_own_either(tmp_path):
    """As it is loaded there where Keras runs on something else here."""
    path, inputs = with_a_lambda(tmp_path)
    reference = ModelReference(str(path), str(path))
    files = download_model(reference, path)
    with closing(ModelProcess(backend="tensorflow")) as process:
        with pytest.raises(UntrustedModelError, match="Lambda"):
            load_isolated(process, files, reference, trust_model=False)
        asked = []
        there = load_isolated(process, files, reference, check=lambda *given: asked.append(given))
        assert there.runs_code
        assert there.backend is None
        there.fitted(inputs)
        assert [(given[0], list(given[1])) for given in asked] == [(there, list(inputs))]


def test_what_killed_audits_have_left_goes_with_a_later_one_and_nothing_else(tmp_path, monkeypatch):
    """A directory that is in use, is young, is called otherwise or is a link stays, however old."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    in_use = Home.make()
    left, young, other = (tmp_path / name for name in ("nnperm-model-left", "nnperm-model-young", "another"))
    for folder in (left, young, other):
        (folder / "written").mkdir(parents=True)
    link = tmp_path / "nnperm-model-link"
    link.symlink_to(other)
    for folder in (in_use.path, left, other):
        os.utime(folder, (0, 0))
    os.utime(link, (0, 0), follow_symlinks=False)
    later = Home.make()
    assert sorted(tmp_path.iterdir()) == sorted([in_use.path, young, other, link, later.path])
    assert (other / "written").is_dir()
    in_use.remove()
    later.remove()
    assert sorted(tmp_path.iterdir()) == sorted([young, other, link])


def test_what_is_another_user_s_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "nnperm-model-left").mkdir()
    os.utime(tmp_path / "nnperm-model-left", (0, 0))
    monkeypatch.setattr(os, "getuid", lambda: -1)
    Home.make().remove()
    assert (tmp_path / "nnperm-model-left").is_dir()
