"""A listener looks at aliases when they move and now and then, and reports what it finds once."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.listening.alias_reports import AliasReports
from nnperm_mlflow.listening.alias_watch import AliasWatch, GuardSettings, keep_watching
from nnperm_mlflow.listening.backlog import Backlog
from nnperm_mlflow.listening.delivery_ledger import Deliveries
from nnperm_mlflow.listening.intake import Intake
from nnperm_mlflow.listening.service import Listener
from nnperm_mlflow.listening.settings import ListenSettings
from tests.support.deliveries import SECRET, event, signed
from tests.support.guarded_models import GuardedModel
from tests.support.servers import wait_until


@contextmanager
def receiver():
    """Take reports; gives the address, those that were taken, and the status that is answered."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if server.status == 200:
                server.taken.append(json.loads(body))
            self.send_response(server.status)
            self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.taken, server.status = [], 200
        server.address = f"http://127.0.0.1:{server.server_port}/reports/token"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.fixture
def reports():
    with receiver() as server:
        yield server


@pytest.fixture
def model(tracked, tmp_path, request):
    made = GuardedModel(tracked, request.node.name, tmp_path)
    made.promote("1")
    return made


def watch_of(model, reports=None, **told):
    settings = GuardSettings(("champion",), model.trust_file, model.folder / "state", **told)
    return AliasWatch(settings, AliasReports(reports and reports.address))


def moved(model, action="created", alias="champion", name=None):
    told = {"name": name or model.name, "entity": "model_version_alias", "action": action, "alias": alias}
    return event(**told, **({"version": "3"} if action == "created" else {}))


def test_an_event_of_a_guarded_alias_leads_to_a_look_and_others_to_none(model, tmp_path):
    watch = watch_of(model, move_back=True)
    database = tmp_path / "listener.db"
    backlog, deliveries = Backlog(database, 10, print), Deliveries(database)
    intake = Intake(SECRET, tmp_path, backlog, deliveries, moved=watch.take)

    def answer(body, taker=intake):
        return taker.take(signed(body), body.encode())

    for action, elsewhere in (("created", "3"), ("deleted", None)):
        model.move(elsewhere)
        watch.look_at_told()  # nobody has told yet
        assert model.champion() == elsewhere
        assert [answer(moved(model, action)).code for _ in range(3)] == [202] * 3
        watch.look_at_told()
        assert model.champion() == "1"
    for body in (moved(model, alias="challenger"), moved(model, name="another")):
        assert (answer(body).code, answer(body).content["reason"]) == (200, "this alias is not guarded")
    assert answer(moved(model, alias="")).code == 400
    unguarded = Intake(SECRET, tmp_path, backlog, deliveries)
    assert answer(moved(model), unguarded).content["reason"] == "not a new model version"
    assert backlog.waiting == 0


def test_each_change_is_reported_once_and_again_where_the_report_was_not_taken(model, reports, caplog):
    watch = watch_of(model, reports)
    for _ in range(2):
        watch.look_at_all()
    assert (reports.taken, watch.guarded, watch.not_kept) == ([], 1, 0)
    model.move("3")
    for reports.status in (500, 302, 200, 200):
        watch.look_at_all()
    (report,) = reports.taken
    assert report["text"] == (
        f"'champion' of {model.name}: moved: version 3 has it, which no promotion gave it; promotion 1 gave it to 1"
    )
    assert (report["holder"], report["promoted"], report["is_kept"], watch.not_kept) == ("3", "1", False, 1)
    assert "token" not in caplog.text
    model.move("1")
    for _ in range(2):
        watch.look_at_all()
    assert [each["state"] for each in reports.taken] == ["moved", "kept"]
    assert watch.not_kept == 0


def test_each_time_that_an_alias_was_moved_back_is_reported_and_then_that_it_no_longer_is(model, reports):
    watch = watch_of(model, reports, move_back=True)
    watch.look_at_all()
    for _ in range(5):
        model.move("3")
        watch.look_at_all()
    assert [each["moved_back"] for each in reports.taken] == [True, True, True, False]
    assert (model.champion(), watch.not_kept) == ("3", 1)


def test_neither_a_promotion_nor_a_roll_back_is_undone_or_taken_for_a_move(model, reports):
    watch = watch_of(model, reports, move_back=True)
    watch.look_at_all()
    model.promote("2")
    watch.look_at_all()
    model.move("1")
    watch.look_at_all()
    assert model.champion() == "1"
    assert [each["state"] for each in reports.taken] == ["kept", "rolled back"]


def test_a_trust_file_that_cannot_be_used_any_more_is_reported_once_and_is_read_again(model, reports):
    watch = watch_of(model, reports)
    watch.look_at_all()
    whole = model.trust_file.read_text()
    model.trust_file.write_text("format: 9")
    for _ in range(2):
        watch.look_at_all()
    assert [each["state"] for each in reports.taken] == ["not looked at"]
    assert watch.not_kept == 1
    model.trust_file.write_text(whole)
    watch.look_at_all()
    assert ([each["state"] for each in reports.taken], watch.not_kept) == (["not looked at", "kept"], 0)


def test_a_watch_looks_at_once_then_when_it_is_told_and_survives_what_it_does_not_expect(model, monkeypatch, caplog):
    watch, stopping = watch_of(model, move_back=True), threading.Event()
    looks = []
    real = watch.look_at_all
    monkeypatch.setattr(watch, "look_at_all", lambda: looks.append(1) or real() or 1 / 0)
    model.move("3")
    thread = threading.Thread(target=keep_watching, args=(watch, 3600, stopping), daemon=True)
    thread.start()
    try:
        wait_until(lambda: model.champion() == "1", "the alias was not moved back at once")
        wait_until(lambda: "ZeroDivisionError" in caplog.text, "the error is not told")
        model.move("3")
        watch.take(model.name, "champion")
        wait_until(lambda: model.champion() == "1", "the alias was not moved back on an event")
    finally:
        stopping.set()
        thread.join()
    assert looks == [1]


def test_the_listener_tells_in_its_health_how_many_aliases_are_not_kept(model, tmp_path):
    told = {"host": "127.0.0.1", "port": 0, "secret": SECRET, "secret_env": "HOOK", "configs": tmp_path}
    (tmp_path / "listener").mkdir()
    listener = Listener(
        ListenSettings(**told, state=tmp_path / "listener", guarded=("champion",), trust=model.trust_file)
    )
    model.move("3")
    listener._watch.look_at_all()
    assert {"status": "degraded", "guarded": 1, "not_kept": 1}.items() <= listener.health().items()
    assert "not_kept" not in Listener(ListenSettings(**told, state=tmp_path / "listener")).health()


def test_what_cannot_be_guarded_is_refused_at_the_start(model):
    settings = GuardSettings(("champion", "challenger"), model.trust_file, model.folder)
    with pytest.raises(ConfigError, match="says of no model what it needs for 'challenger'"):
        AliasWatch(settings, AliasReports(None))
    with pytest.raises(ConfigError, match="begins with https:// or http://"):
        AliasReports("file:///etc/passwd")
    required = ["listen", "--port", "0", "--secret-env", "HOOK", "--configs", str(model.folder)]
    held = CliRunner(env={"HOOK": SECRET, "NNPERM_KEY_PASSWORD": "a password"})
    for more, said in (
        (["--move-back"], "are for aliases that are guarded"),
        (["--key", "none"], "give one with --trust"),
        (["--key", "none", "--trust", str(model.trust_file)], "there is no key"),
        (["--guard", "champion"], "give one with --trust"),
        (["--guard", "champion", "--trust", "t", "--report-env", "NONE"], "'NONE' is to hold the address for reports"),
    ):
        state = ["--state-dir", str(model.folder / "listener")]
        refused = held.invoke(main, [*required, *state, *more])
        assert (refused.exit_code, said in refused.stderr) == (2, True), refused.stderr


def test_the_command_line_says_what_is_guarded(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("nnperm_mlflow.listening.service.listen", told.append)
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)
    arguments = ["listen", "--port", "0", "--secret-env", "HOOK", "--configs", str(tmp_path), "--move-back"]
    arguments += ["--guard", "champion", "--guard", "challenger", "--trust", str(tmp_path / "t"), "--report-env", "TO"]
    held = CliRunner(env={"HOOK": SECRET, "TO": "http://127.0.0.1/token"})
    assert held.invoke(main, arguments, catch_exceptions=False).exit_code == 0
    (settings,) = told
    found = (settings.guarded, settings.trust, settings.move_back, settings.report_env, settings.report_to)
    assert found == (("champion", "challenger"), tmp_path / "t", True, "TO", "http://127.0.0.1/token")
    assert "token" not in repr(settings)
