"""What a command says on standard error is its own: libraries' talk of themselves stays out, their errors do not."""

import logging
import os
import re
import subprocess
import sys

import pytest

from nnperm_mlflow.cli.common import log_to_stderr

TALK = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795973523.834369   10077 port.cc:153] oneDNN custom operations are on. You may see other results.",
    "I0000 00:00:1795973523.910399   10077 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use",
    "To enable the following instructions: AVX2 AVX512F FMA, in other operations, rebuild TensorFlow with flags.",
    "W0000 00:00:1795973523.910399   10077 computation_placer.cc:177] computation placer already registered.",
    "2025-01-31 10:20:30.123456: I tensorflow/core/util/port.cc:113] oneDNN custom operations are on.",
    "2025-01-31 10:20:30.123456: I external/local_xla/xla/tsl/cuda/cudart_stub.cc:32] Could not find cuda drivers",
    "E0000 00:00:1795973523.9   10077 cuda_fft.cc:477] Unable to register cuFFT factory: already registered",
    "2025-01-31 10:20:30.1: E external/local_xla/xla/cuda_driver.cc:152] failed call to cuInit: UNKNOWN ERROR (303)",
]
ERRORS = [
    "E0000 00:00:1795973523.910399   10077 allocator.cc:12] out of memory",
    "F0000 00:00:1795973523.910399   10077 cpu_feature_guard.cc:37] compiled to use AVX, which is not there",
    "2025-01-31 10:20:30.123456: F tensorflow/core/lib/x.cc:57] Check failed: 1 == 2",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "a word of WARNING: in the middle",
]

PROGRAM = """
import os, sys
from nnperm_mlflow.cli.native_stderr import quieten_tensorflow
quieten_tensorflow()
os.write(2, b"I0000 00:00:1.2 3 before.cc:1] is imported\\n")
print("ours, before", file=sys.stderr)
import tensorflow
print("ours, after", file=sys.stderr)
{end}
"""


def said_by(end, folder):
    """Return what a process says that imports a `tensorflow` which writes as compiled code does, and then ends."""
    lines = "\n".join([*TALK, *ERRORS, ""])
    (folder / "tensorflow.py").write_text(f"import os\nos.write(2, {lines.encode()!r})\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-c", PROGRAM.format(end=end)]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "status", "last"),
    [
        ("", 0, []),
        ("os.write(2, b'last words'); os.abort()", -6, ["last words"]),
        ("import signal; os.kill(os.getpid(), signal.SIGKILL)", -9, []),
        ("raise SystemExit('refused')", 1, ["refused"]),
    ],
)
def test_talk_of_compiled_libraries_is_left_out_and_their_errors_and_last_words_are_not(end, status, last, tmp_path):
    done = said_by(end, tmp_path)
    assert done.returncode == status
    before = ["I0000 00:00:1.2 3 before.cc:1] is imported"]
    assert sorted(done.stderr.splitlines()) == sorted([*before, "ours, before", "ours, after", *ERRORS, *last])


@pytest.mark.slow
def test_signals_for_the_whole_group_do_not_cut_off_what_is_said_afterwards(tmp_path):
    """Ctrl-C at a terminal is for every process that was started there."""
    end = """
import signal
signal.signal(signal.SIGINT, lambda *_: os.write(2, b"ends in good order\\n"))
import time; time.sleep(1)
os.killpg(os.getpgrp(), signal.SIGINT)
"""
    setsid = "import os, sys; os.setsid(); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    (tmp_path / "tensorflow.py").write_text("", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-c", setsid, "-c", PROGRAM.format(end=end)]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "ends in good order"


@pytest.mark.slow
def test_an_audit_says_on_standard_error_what_it_does_and_nothing_else(house, store):
    command = ["audit", "--tracking-uri", store, "--model-uri", "models:/house/1", "--config", str(house.config)]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    program = [sys.executable, "-m", "nnperm_mlflow", *command]
    done = subprocess.run(program, env=environment, check=False, capture_output=True, text=True)
    said = done.stderr.splitlines()
    first, *progress = [line for line in said if "left unread" not in line]
    assert done.returncode == 0
    assert re.fullmatch(r"models:/house/1: [\d,]+ rows, \d+ features, \d+ perturbations, .* rows a block", first)
    assert all(re.fullmatch(r"[\d,]+ of [\d,]+ rows done, about \d+ s left", line) for line in progress)


@pytest.mark.parametrize("name", ["tensorflow", "absl"])
def test_warnings_that_are_meant_for_modellers_are_left_out_and_errors_are_not(name, monkeypatch, capsys):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    log_to_stderr("%(message)s")
    for logger in (name, f"{name}.below", "nnperm_mlflow.auditor"):
        logging.getLogger(logger).warning("a warning of %s", logger)
        logging.getLogger(logger).error("an error of %s", logger)
    said = capsys.readouterr().err.splitlines()
    ours = "nnperm_mlflow.auditor"
    assert said == [f"an error of {name}", f"an error of {name}.below", f"a warning of {ours}", f"an error of {ours}"]
