"""What compiled libraries write to standard error by themselves: passed on, but for what TensorFlow tells of itself.

TensorFlow writes some lines while it is being loaded, before any setting of its own counts. So a small process stands
between a descriptor and standard error; one of its own, since it must also pass on the last words of a library that
ends the process that writes. It runs this file alone, with nothing but Python's own modules.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

_OF_ITSELF = re.compile(
    rb"[IW]\d{4} \d\d:\d\d:[\d.]+ +\d+ [\w./-]+:\d+\] "  # what absl logs: information, warnings
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: [IW] [\w./-]+:\d+\] "  # and as TensorFlow did before
    rb"|WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    rb"|To enable the following instructions: "  # the second line of one
    rb"|.*(Unable to register cu\w+ factory|failed call to cuInit|Could not find cuda drivers)"  # there is no GPU
)
"""How a line begins that says nothing of the audit; errors, and whatever else there is, are passed on."""


def open_filter() -> int:
    """Start the process between; return a descriptor to write to, which whoever has it closes."""
    read_end, write_end = os.pipe()
    subprocess.Popen(  # noqa: S603 - a list of arguments, and no shell
        [sys.executable, "-I", "-S", str(Path(__file__))],
        stdin=read_end,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is not for it
    )
    os.close(read_end)
    return write_end


def pass_on() -> None:
    """Copy lines from standard input to standard error until their writers have ended, whatever signals come."""
    import signal  # noqa: PLC0415 - only in the other process

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    for line in iter(sys.stdin.buffer.readline, b""):
        if not _OF_ITSELF.match(line):
            os.write(2, line)


if __name__ == "__main__":
    pass_on()
