"""Faults on purpose: a proxy that disturbs what passes it, processes that are killed, and disks that are full."""

import http.client
import importlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from click.testing import CliRunner

import nnperm_mlflow
from nnperm_mlflow.cli.main import main

PROJECT = Path(__file__).parents[2]

FAULTS = ("drop", "lost", "error", "unavailable", "late", "half sent", "half answered")
"""What the proxy can do to a request.

`drop` breaks the connection before the server hears of it, `lost` after the server has done it; `error` and
`unavailable` answer 500 and 503 in the server's place; `late` tells the server only once the client has given up;
`half sent` gives the server half of what the client sent (nothing, where that had no body), and `half answered` gives
the client half of the answer. Beside these `forbidden` answers 403.
"""

_STATUS = {"error": 500, "unavailable": 503, "forbidden": 403}
_OF_ONE_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "server", "date"}
_MOST_SECONDS = 60  # that one waits for the other here


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, notes them, and fails where it is told to; to be used in a `with` statement.

    Attributes: `seen`, for each request its method, its path and the server's status (None where it was not asked).
    """

    daemon_threads = True

    def __init__(self, server: str):
        super().__init__(("127.0.0.1", 0), _Relay)
        self.upstream = server.removeprefix("http://")
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.seen = []
        self._fault_of = _no_fault
        self._n_busy = 0
        self._changed = threading.Condition()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def fail(self, fault_of=None):
        """Forget what was seen; from now on `fault_of(number, method, path, body)` names the fault of each request."""
        self.settle()
        self.seen = []
        self._fault_of = fault_of or _no_fault

    def settle(self):
        """Wait until nothing is on its way."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._n_busy, _MOST_SECONDS)

    @contextmanager
    def noted(self, method, path, body):
        with self._changed:
            request = [method, path, None]
            fault = self._fault_of(len(self.seen), method, path, body)
            self.seen.append(request)
            self._n_busy += 1
        try:
            yield request, fault
        finally:
            with self._changed:
                self._n_busy -= 1
                self._changed.notify_all()

    def handle_error(self, *_):
        """Say nothing of connections that the client has closed."""


def _no_fault(*_):
    return None


def at(number, fault):
    """Fail at one request alone."""
    return lambda n, *_: fault if n == number else None


def once_each(fault):
    """Fail at each request when it comes, and let it pass when it comes again."""
    failed = set()

    def fault_of(_, method, path, body):
        request = (method, path, body)
        if request in failed:
            failed.remove(request)
            return None
        failed.add(request)
        return fault

    return fault_of


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def relay(self):
        body = self._read_body()
        with self.server.noted(self.command, self.path, body) as (request, fault):
            if fault in _STATUS:
                self._reply(_STATUS[fault], {}, b"the proxy says no")
            elif fault == "drop":
                self.close_connection = True
            elif fault == "half sent":
                self.close_connection = True
                if body:
                    self._send_half(body)
            else:
                if fault == "late":
                    self._wait_until_given_up()
                request[2], headers, answer = self._ask(body)
                self._pass_on(fault, request[2], headers, answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = relay  # noqa: N815 - http.server calls them so

    def _pass_on(self, fault, status, headers, answer):
        if fault in ("lost", "late"):
            self.close_connection = True
        else:
            self._reply(status, headers, answer, cut=fault == "half answered")

    def _read_body(self):
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _ask(self, body):
        connection = http.client.HTTPConnection(self.server.upstream, timeout=_MOST_SECONDS)
        try:
            connection.request(self.command, self.path, body, self._headers_for_server(body))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _send_half(self, body):
        connection = http.client.HTTPConnection(self.server.upstream, timeout=_MOST_SECONDS)
        connection.putrequest(self.command, self.path)
        for name, value in self._headers_for_server(body).items():
            connection.putheader(name, value)
        connection.endheaders(body[: len(body) // 2])
        connection.close()

    def _headers_for_server(self, body):
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_HOP}
        return {**kept, "Content-Length": str(len(body))}

    def _reply(self, status, headers, answer, cut=False):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _OF_ONE_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[: len(answer) // 2] if cut else answer)
        self.close_connection = self.close_connection or cut

    def _wait_until_given_up(self):
        self.connection.settimeout(_MOST_SECONDS)
        assert self.connection.recv(1) == b""  # the client has closed it
        self.close_connection = True

    def log_message(self, *_):
        """Say nothing."""


def nnperm(*arguments):
    """Run a command in this process; return its exit status and what it said."""
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def message_in(said):
    """Return the only error that a command told, in its only line."""
    (message,) = re.findall(r"^\w*Error: .*$", said, re.MULTILINE)
    return message


def commands_in(message):
    """Return the arguments of each `nnperm` command that a message tells somebody to run."""
    return [shlex.split(told)[1:] for told in re.findall(r"nnperm (?:publish|check) .*?(?=, and|;|$)", message)]


STAGES = {
    "start": ["auditor/workspace", "registry/run_session"],
    "blocks": ["analysis/engine/loop", "analysis/engine/block_result"],
    "journal": ["analysis/engine/journal"],
    "table": ["analysis/engine/table", "analysis/engine/row_marks"],
    "files": ["auditor/record_assembly", "auditor/result"],
    "publishing": [
        "auditor/outbox", "registry/publication", "registry/publisher", "registry/run_content", "registry/verdicts"
    ],
    "linking": ["registry/version_link"],
}  # fmt: skip
"""The life of an audit, by the modules that are at work."""


@dataclass(frozen=True)
class Ending:
    """When a process gets a signal: at a moment of a stage (a call, or a return, of its modules), or after a time.

    Moments are counted where any stage is named, which takes time.
    """

    number: int = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has the other alone
    stage: str = ""
    moment: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status (the signal's number below 0), its seconds, its moments, what it said."""

    status: int
    seconds: float
    moments: dict[str, int] = field(default_factory=dict)
    said: str = ""


class Launcher:
    """Starts `nnperm` in processes of its own that need not load TensorFlow again, and may end them at any moment.

    A process that has loaded everything, and done nothing, forks for each command.
    """

    def __init__(self, folder: Path):
        self._said = folder / "said"
        command = [sys.executable, "-c", "from tests.support.faults import launch; launch()"]
        self._process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate()

    def nnperm(self, *arguments, ending: Ending | None = None) -> Ended:
        asked = {"arguments": list(map(str, arguments)), "said": str(self._said), "ending": vars(ending or Ending())}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        ended = Ended(**json.loads(self._process.stdout.readline()))
        return Ended(ended.status, ended.seconds, ended.moments, self._said.read_text(encoding="utf-8"))


def launch():
    """Be the process that forks: a line of JSON in for each command, and one out for how it has ended."""
    for module in ("auditor.audit_procedure", "auditor.outbox", "models.keras.network"):
        importlib.import_module(f"nnperm_mlflow.{module}")
    for line in sys.stdin:
        asked = json.loads(line)
        ending, moments = Ending(**asked["ending"]), Path(f"{asked['said']}.moments")
        moments.write_text("{}", encoding="utf-8")
        begun = time.monotonic()
        child = os.fork()
        if child == 0:
            _be_nnperm(asked["arguments"], Path(asked["said"]), moments, ending)
        status = _wait_for(child, begun, ending)
        counted = json.loads(moments.read_text(encoding="utf-8"))
        sys.stdout.write(json.dumps(vars(Ended(status, time.monotonic() - begun, counted))) + "\n")
        sys.stdout.flush()


def _be_nnperm(arguments, said, moments, ending):
    status = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with said.open("w", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        counts = Counter()
        if ending.stage:
            sys.setprofile(_watcher(counts, ending))
        try:
            main(arguments)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.setprofile(None)
        moments.write_text(json.dumps(counts), encoding="utf-8")
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _watcher(counts, ending):
    """Return a profiler that counts the moments of each stage, and sends the signal when it is time."""
    root = Path(nnperm_mlflow.__file__).parent
    stages = {str(root / f"{module}.py"): stage for stage, modules in STAGES.items() for module in modules}

    def watch(frame, event, _):
        stage = stages.get(frame.f_code.co_filename)
        if stage is None and event in ("call", "return") and frame.f_back is not None:
            stage = stages.get(frame.f_back.f_code.co_filename)
        if stage is not None:
            counts[stage] += 1
            if stage == ending.stage and counts[stage] == ending.moment:
                os.kill(os.getpid(), ending.number)

    return watch


def _wait_for(child, begun, ending):
    while ending.seconds is not None and time.monotonic() < begun + ending.seconds:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    if ending.seconds is not None:
        os.kill(child, ending.number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class SmallDisk:
    """A disk of a few MiB that can be filled, and emptied again.

    Raises `OSError` where this user may not mount one.
    """

    def __init__(self, folder: Path, mib: int):
        self.folder = folder
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise OSError(done.stderr.strip())

    def fill(self, left=0):
        self.clear()
        filled(self.folder, left)

    def clear(self):
        (self.folder / "filler").unlink(missing_ok=True)

    def remove(self):
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


def filled(folder, left=0):
    """Let a disk be full, but for so many bytes."""
    free = shutil.disk_usage(folder).free
    (Path(folder) / "filler").write_bytes(bytes(max(0, free - left)))
