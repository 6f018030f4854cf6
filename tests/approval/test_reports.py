"""The report of real audits: in every run, the same again from the same run, and of the verdict that holds now."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from nnperm_mlflow import audit, check, explain, history, write_report
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError
from nnperm_mlflow.basics.text import as_text
from nnperm_mlflow.cli.findings_text import describe_findings
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.registry.version_link import link_on_record
from nnperm_mlflow.report.feature_labels import FeatureLabels
from tests.support.house import build_house, register
from tests.support.pages import read_page
from tests.support.recorded import copied_audit, made_audit

KEPT = {"name": "no reliance on region", "feature": "region", "statistic": "mean", "max": 0.9}
MISSED = {"name": "age is no driver", "feature": "age", "statistic": "mean", "max": 1e-6}
TOWNS = ["Hollabrunn", "Mistelbach", "Zwettl"]


@pytest.fixture(scope="module")
def audited(store, tmp_path_factory):
    """An audit that was asked for everything, with a policy, on data with unmistakable values."""
    mlflow.set_tracking_uri(store)
    folder = tmp_path_factory.mktemp("reports")
    house = build_house(folder, "reported")
    register(house)
    settings = house.settings()
    table = house.table.assign(
        town=[TOWNS[row % 3] for row in range(len(house.table))],
        income=np.where(np.arange(len(house.table)) % 2, house.table["income"] * 1000 + 123_456, house.table["income"]),
    )
    table.to_parquet(folder / "towns.parquet")
    settings["data"]["static"] = str(folder / "towns.parquet")
    settings["analysis"] |= {
        "windows": 2, "profile": ["income", "region"], "segments": ["town", {"age": [0]}], "within": ["town"],
        "scores": ["roc_auc"], "groups": {"both": ["age", "income"]}, "exclude": ["flag"],
    }  # fmt: skip
    settings["labels"] = {
        "region": "where <b>they</b> live", "balance": {"label": "balance of the account", "description": "In euro."},
        "history steps": ["Apr", "May", "Jun", "Jul", "Aug", "Sep"],
    }  # fmt: skip
    return audit(
        {**settings, "checks": [KEPT]}, model_uri="models:/reported/1", output=folder / "output", experiment="tests"
    )


def logged(run_id, name="report.html"):
    return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=name)).read_bytes()


def test_every_audit_has_its_report_in_the_run_and_beside_its_other_files(audited, tracked):
    page = logged(audited.run_id)
    assert (audited.directory / "report.html").read_bytes() == page
    text = read_page(page.decode()).by_id("summary").text
    assert "What the predictions of reported 1 rest on" in text
    assert str(audited.moved["perturbation"].iloc[0]) in text
    assert "Pass: 1 of 1 checks are kept." in text
    assert "400 rows of towns.parquet" in text


def test_labels_stand_where_people_read_and_in_no_table_metric_or_check(audited, tracked):
    page, run = read_page(logged(audited.run_id).decode()), tracked.get_run(audited.run_id)
    assert "Apr to Jun" in page.by_id("windows").text
    assert "balance (balance of the account)" in page.by_id("windows").text
    assert "In euro." in page.by_id("glossary").text
    assert r"region (where \<b\>they\</b\> live)".replace("(", r"\(").replace(")", r"\)") in (
        logged(audited.run_id, "audit.md").decode()
    )
    tables = ("summary.csv", "windows.csv", "profiles.csv", "segments.csv", "verdict.json", "names.json")
    for words in ("where <b>", "balance of the account", "Apr to Jun"):
        assert not [name for name in tables if words in logged(audited.run_id, name).decode()]
        assert not [key for key in run.data.metrics if words in key]
    assert "mean/region" in run.data.metrics
    labels = [label.get_text() for label in audited.figure.axes[0].get_yticklabels()]
    assert "region (where <b>they</b> live)" in labels


def test_made_again_from_the_run_it_is_the_same_to_the_last_byte(audited, store, tmp_path):
    command = ["report", "--run", audited.run_id, "--output", str(tmp_path), "--tracking-uri", store]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"report: {tmp_path / 'report.html'}\n"
    assert (tmp_path / "report.html").read_bytes() == logged(audited.run_id)
    of_version = write_report("models:/reported/1", output=tmp_path / "of_version.html")
    assert of_version.read_bytes() == logged(audited.run_id)


def test_what_was_asked_for_is_there_and_values_of_the_data_only_with_that_word(audited, tracked, tmp_path):
    page = logged(audited.run_id).decode()
    root = read_page(page)
    assert {"windows", "profiles", "segments", "associations", "checks", "provenance", "method"} <= {
        each.attributes.get("id") for each in root.all("section")
    }
    assert "Rows exchanged values only with rows like them: alike in town, in 3 strata" in root.by_id("method").text
    assert "Not disturbed, as was asked: flag." in root.by_id("method").text
    assert "both (age, income)" in root.by_id("method").text
    assert "age &lt;0" in page
    assert not [town for town in TOWNS if town in page]
    told = write_report(run_id=audited.run_id, output=tmp_path / "told.html", with_values=True).read_text()
    assert [town for town in TOWNS if f"town={town}" in told] == TOWNS
    largest = audited.profiles.loc[audited.profiles["feature"] == "income", "value"].astype(float).max()
    marks = [each.text for each in read_page(told).by_id("profiles").all("text")[:3]]
    assert marks[-1] == f"{largest:,.0f}"
    assert marks[-1] not in page


def test_it_tells_of_the_verdict_that_holds_now(audited, tracked, tmp_path):
    """A check of the same audit by another policy, and back."""
    run_id = copied_audit(tracked, audited.run_id)
    before = write_report(run_id=run_id, output=tmp_path / "before.html").read_bytes()
    verdict = check(run_id=run_id, policy=Policy(checks=[MISSED])).verdict
    assert verdict.status == "fail"
    page = read_page(logged(run_id).decode())
    assert "Fail: 1 of 1 checks are not kept: 'age is no driver'." in page.by_id("summary").text
    assert [each.all("h3")[0].text for each in page.all("div", **{"class": "check"})] == ["not kept age is no driver"]
    assert write_report(run_id=run_id, output=tmp_path / "again.html").read_bytes() == logged(run_id) != before


def test_the_description_of_the_run_tells_it_in_words_and_keeps_what_people_write(audited, tracked):
    run_id = copied_audit(tracked, audited.run_id)
    note = tracked.get_run(audited.run_id).data.tags["mlflow.note.content"]
    assert "Pass: 1 of 1 checks are kept" in note
    tracked.set_tag(run_id, "mlflow.note.content", f"Ask Ada.\n\n{note}\n\nShe knows more.")
    check(run_id=run_id, policy=Policy(checks=[MISSED]))
    now = tracked.get_run(run_id).data.tags["mlflow.note.content"]
    assert now.startswith("Ask Ada.\n\n<!-- nnperm audit: begin -->")
    assert now.endswith("She knows more.")
    assert "Fail: 1 of 1 checks are not kept" in now
    assert "Pass: 1 of 1" not in now


def test_an_audit_of_before_that_lacks_files_has_a_report_without_them(audited, tracked, tmp_path):
    lacking = ["report.html", "associations.csv", "windows.csv", "profiles.csv", "strata.csv"]
    run_id = copied_audit(tracked, audited.run_id, files=dict.fromkeys(lacking))
    page = read_page(write_report(run_id=run_id, output=tmp_path / "report.html").read_text())
    assert "Not told by this audit." in page.by_id("associations").text
    assert {"windows", "profiles"}.isdisjoint(each.attributes.get("id") for each in page.all("section"))


def test_an_audit_of_the_first_days_has_a_report(tracked, tmp_path):
    run_id = made_audit(tracked, "models:/made/1", policy="9" * 64)
    page = read_page(write_report(run_id=run_id, output=tmp_path).read_text())
    assert "Pass: made up." in page.by_id("summary").text


def test_a_report_of_files_that_were_changed_is_refused(audited, tracked, tmp_path):
    summary = logged(audited.run_id, "summary.csv").decode()
    changed = copied_audit(tracked, audited.run_id, files={"summary.csv": summary.replace("age", "AGE")})
    tracked.log_text(changed, summary, "summary.csv")
    with pytest.raises(EvidenceError, match=r"summary\.csv of run .* has been changed"):
        write_report(run_id=changed, output=tmp_path)


def test_a_report_cannot_be_written_where_there_is_no_folder(audited, tracked, tmp_path):
    with pytest.raises(ConfigError, match="cannot be written: No such file or directory"):
        write_report(run_id=audited.run_id, output=tmp_path / "nowhere" / "report.html")


def test_files_that_an_earlier_audit_left_in_the_folder_are_not_told(audited, tracked, tmp_path):
    """Without windows there is no windows.csv, whatever lies there."""
    (tmp_path / "windows.csv").write_bytes(logged(audited.run_id, "windows.csv"))
    settings = yaml.safe_load(logged(audited.run_id, "config.yaml"))
    settings["analysis"] |= {"windows": None, "profile": [], "segments": [], "within": []}
    result = audit({**settings, "checks": []}, output=tmp_path, experiment="tests")
    again = write_report(run_id=result.run_id, output=tmp_path / "again.html")
    assert again.read_bytes() == logged(result.run_id) == (tmp_path / "report.html").read_bytes()
    page = read_page(again.read_text())
    assert {"windows", "profiles", "segments"}.isdisjoint(each.attributes.get("id") for each in page.all("section"))
    assert "no verdict" in page.by_id("summary").text


def test_a_report_kept_for_later_is_published_with_the_rest(audited):
    """It is one of the texts that go with a verdict, so that whoever writes these writes it."""
    from nnperm_mlflow.approval.audit_contents import contents_of
    from nnperm_mlflow.registry.records import read_audit

    record = read_audit(mlflow.MlflowClient(), audited.run_id, audited.directory / "copy")
    content, _ = contents_of(record, audited.verdict)
    assert json.loads(json.dumps(dict(content.texts)))["report.html"].startswith("<!doctype html>")


@pytest.mark.parametrize("to", ["docx", "pdf", "html"])
def test_the_document_of_a_run_is_made_by_the_command_and_again_to_the_last_byte(audited, store, tmp_path, to):
    pytest.importorskip("docx")
    pytest.importorskip("reportlab")
    command = ["report", "--run", audited.run_id, "--to", to, "--output", str(tmp_path), "--tracking-uri", store]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"report: {tmp_path / f'document.{to}'}\n"
    again = write_report(run_id=audited.run_id, to=to, output=tmp_path / "again").read_bytes()
    assert again == (tmp_path / f"document.{to}").read_bytes()


def test_the_document_tells_the_audit_its_labels_and_no_value(audited, tracked, tmp_path):
    own = tmp_path / "own.html"
    own.write_text(
        "{% for c in document.chapters %}{% for b in c.blocks %}{{ b.text or b.rows }}\n{% endfor %}{% endfor %}"
    )
    page = write_report(run_id=audited.run_id, to="html", output=tmp_path / "document.html").read_text()
    root = read_page(page)
    assert "region (where <b>they</b> live)" in root.by_id("results").text
    assert "In euro." in root.by_id("data").text
    assert "1 of 1 checks are kept" in root.by_id("policy").text
    assert "Not disturbed, as was asked: flag." in root.by_id("method").text
    assert "roc_auc" in root.by_id("results").text
    assert len(root.all("img")) == 2
    assert not [town for town in TOWNS if town in page]
    with pytest.raises(ConfigError, match=r"own\.html' cannot be followed"):
        write_report(run_id=audited.run_id, template=own, output=tmp_path / "own-made.html")
    with pytest.raises(ConfigError, match="not to 'odt'"):
        write_report(run_id=audited.run_id, to="odt")


PNG = b"\x89PNG\r\n\x1a\n rest"


def reasons_in(folder, run_id, picture=PNG):
    folder.mkdir()
    told = (
        f"What the prediction rests on: <b>row 1</b>\n\n1. age: 0.2 higher\n\nModel and data are those of run {run_id}"
    )
    (folder / "reasons.txt").write_text(told, encoding="utf-8")
    (folder / "reasons.png").write_bytes(picture)
    return folder


def test_reasons_for_one_observation_have_a_part_of_their_own_and_are_of_that_audit(audited, tracked, tmp_path):
    own = reasons_in(tmp_path / "own", audited.run_id)
    page = read_page(write_report(run_id=audited.run_id, reasons=own, output=tmp_path / "report.html").read_text())
    part = page.by_id("observation")
    assert part.all("pre")[0].raw.startswith("What the prediction rests on: <b>row 1</b>\n\n1. age: 0.2 higher")
    (image,) = part.all("img")
    assert base64.b64decode(image.attributes["src"].removeprefix("data:image/png;base64,")) == PNG
    assert "img-src data:" in page.all("meta")[1].attributes["content"]
    document = write_report(run_id=audited.run_id, to="html", reasons=own, output=tmp_path / "document.html")
    assert "1. age: 0.2 higher" in read_page(document.read_text()).by_id("observation").text
    with pytest.raises(EvidenceError, match=r"are not of run"):
        write_report(run_id=audited.run_id, reasons=reasons_in(tmp_path / "others", "0" * 32))
    with pytest.raises(ConfigError, match=r"expected reasons\.txt and reasons\.png"):
        write_report(run_id=audited.run_id, reasons=tmp_path)
    with pytest.raises(ConfigError, match="is no picture"):
        write_report(run_id=audited.run_id, reasons=reasons_in(tmp_path / "none", audited.run_id, b"GIF"))


def test_labels_stand_on_the_console_on_the_version_in_the_history_and_in_reasons(audited, tracked, tmp_path):
    console = "\n".join(describe_findings(audited))
    assert "balance (balance of the account)" in console
    assert "region (where <b>they</b> live)" in console
    settings = yaml.safe_load(logged(audited.run_id, "config.yaml"))
    settings["labels"]["both"] = "age with income"  # a group, which leads
    run_id = copied_audit(tracked, audited.run_id, files={"config.yaml": yaml.safe_dump(settings)})
    section = link_on_record(read_audit(tracked, run_id, tmp_path)).section
    assert f"predictions move most with {as_text('both (age with income)')} (" in section
    past = replace(history("models:/reported"), labels=FeatureLabels({"both": "age with income"}))
    assert "both (age with income)" in " ".join(text.get_text() for text in past.figure.axes[0].texts)
    found = explain(audited.run_id, row=1)
    assert "balance (balance of the account)" in " ".join(found.letter.split())  # whose lines are wrapped
    bars = [label.get_text() for label in found.figure.axes[0].get_yticklabels()]
    assert any(bar.startswith("balance (balance of the account) ") for bar in bars)
    assert "balance" in found.features["feature"].tolist()
