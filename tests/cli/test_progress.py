"""What a person sees at a terminal while an audit goes on."""

import os
import pty
import re
import subprocess
import sys
from contextlib import contextmanager, suppress

import click
import pytest

from nnperm_mlflow.auditor.progress import watched


@contextmanager
def terminal(monkeypatch):
    """Make standard error a real terminal within the block; give the end at which it is read."""
    ours, theirs = pty.openpty()
    screen = os.fdopen(theirs, "w", buffering=1)
    with os.fdopen(ours, "rb", buffering=0) as read_end, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", screen)
        yield read_end
    with suppress(OSError):  # the other end may be gone
        screen.close()


def read_all(read_end):
    """Return what was written to a terminal, of which one read gives what is there by then."""
    os.set_blocking(read_end.fileno(), False)
    parts = []
    while part := read_end.read(65536):  # None where nothing is left
        parts.append(part)
    return b"".join(parts).decode()


def lines_of(written):
    """Return the lines as they stand on the screen: what a carriage return has overwritten is gone."""
    text = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", written).replace("\r\n", "\n")
    return [line.rpartition("\r")[2].strip() for line in text.split("\n") if line.strip()]


def test_what_is_said_after_the_bar_stands_in_a_line_of_its_own(monkeypatch):
    with terminal(monkeypatch) as read_end:
        with watched() as tell:
            for repeats in ("2", "3"):
                for done in (0, 40, 100):
                    tell(done, 100)
                click.echo(f"{repeats} repeats: narrow enough", err=True)
        lines = lines_of(read_all(read_end))
    assert [line.split()[0] for line in lines] == ["rows", "2", "rows", "3"]
    assert lines[0].endswith("100/100")


def test_a_terminal_that_is_gone_does_not_hinder_the_end(monkeypatch):
    with terminal(monkeypatch) as read_end, watched() as tell:
        tell(0, 100)
        read_end.close()


@pytest.mark.slow
def test_an_audit_whose_standard_error_is_closed_is_made_all_the_same(house, store):
    command = ["audit", "--tracking-uri", store, "--model-uri", "models:/house/1", "--config", str(house.config)]
    closing = "import os, sys; os.close(2); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    program = [sys.executable, "-c", closing, "-m", "nnperm_mlflow", *command]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search("^run [0-9a-f]{32}, experiment", done.stdout, re.MULTILINE)


def test_without_a_terminal_lines_are_logged_instead_of_a_bar(caplog, capsys):
    with caplog.at_level("INFO", "nnperm_mlflow"), watched() as tell:
        tell(0, 100)
        tell(100, 100)
    assert caplog.messages == ["100 of 100 rows done, about 0 s left"]
    assert capsys.readouterr().err == ""


def test_progress_that_is_switched_off_is_told_to_nobody(monkeypatch):
    with terminal(monkeypatch) as read_end:
        with watched(False) as tell:
            tell(0, 100)
            tell(100, 100)
        click.echo("the end", err=True)
        assert read_end.read(65536) == b"the end\r\n"
