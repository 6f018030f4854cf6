"""What people see of audits in MLflow's web UI: three versions of a network, looked at in a real browser."""

import base64
import json
import os
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature

import nnperm_mlflow
from tests.support.browser import expect, keep_picture, reading, running_browser, what_is_missing
from tests.support.house import build_house, register
from tests.support.servers import running_server
from tests.support.simulations import in_full

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing())]

NAME, EXPERIMENT = "risk", "credit"
CHECKS = [{"name": "region is no driver", "feature": "region", "statistic": "median", "max": 0.001}]
VERDICTS = ["pass", "pass", "fail"]
REGION_WEIGHTS = np.array([[0.01, -0.02], [0.03, 0.05], [-0.06, 0.02], [0.0, 0.04]])
FACTORS = [(0.1, 1.0), (0.15, 0.9), (40.0, 1.0)]
"""For each version by how much region counts, and by how much everything does."""


@dataclass(frozen=True)
class Audited:
    """Three audited versions on a server, in one experiment.

    Attributes: the server's address, the experiment, the results of the audits.
    """

    address: str
    experiment_id: str
    results: list[nnperm_mlflow.AuditResult]

    @property
    def run_ids(self):
        return [result.run_id for result in self.results]


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ui")
    with running_server(folder) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOGNAME", "ada")  # whom the pages name
        mlflow.set_tracking_uri(address)
        house = build_house(folder, NAME)
        settings = {**house.settings(), "checks": CHECKS}
        kernel = house.network.get_layer("risk").get_weights()[0]
        results = []
        for of_region, of_all in FACTORS:
            set_weights(house.network, of_region * REGION_WEIGHTS, of_all * kernel)
            version = register(house, EXPERIMENT)
            results.append(nnperm_mlflow.audit(settings, model_uri=f"models:/{NAME}/{version}"))
        yield Audited(address, results[0].experiment_id, results)


WIDE = in_full({20: "scoring", 150: "rating"}, {20: "scoring"})
"""Of which networks four versions are compared, by how many numbers they take."""
LEADING = [("PAY_0", "LIMIT_BAL", "AGE"), ("PAY_0", "AGE", "LIMIT_BAL"), ("AGE", "PAY_0", "BILL_AMT1"),
           ("PAY_AMT1", "AGE", "PAY_0")]  # fmt: skip
"""For each version what it rests on most."""
_COLUMNS = ["LIMIT_BAL", "AGE", *(f"{what}{month}" for what in ("PAY_", "BILL_AMT", "PAY_AMT") for month in range(6))]


@pytest.fixture(scope="module", params=WIDE)
def wide(request, audited, tmp_path_factory):
    """Four audited versions of a network of so many numbers, in an experiment of their own."""
    n_features, name = request.param, WIDE[request.param]
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp(name)
    names = [*_COLUMNS, *(f"account_{place:03}" for place in range(n_features - len(_COLUMNS)))]
    pd.DataFrame(rng.normal(size=(200, n_features)), columns=names).to_parquet(folder / "rows.parquet")
    given = keras.Input((n_features,), name="num_input")
    network = keras.Model(given, keras.layers.Dense(1, activation="sigmoid", name="risk")(given))
    settings = {"data": {"static": str(folder / "rows.parquet")}, "inputs": {"num_input": names}}
    example = np.zeros((2, n_features), np.float32)
    mlflow.set_experiment(f"{name} audits")
    results = []
    for leading in LEADING:
        weights = pd.Series(0.1 * rng.random(n_features), index=names)
        weights[list(leading)] = [1.2, 0.9, 0.6]
        network.get_layer("risk").set_weights([weights.to_numpy(np.float32)[:, None], np.zeros(1, np.float32)])
        with mlflow.start_run():
            signature = infer_signature({"num_input": example}, network.predict(example, verbose=0))
            mlflow.tensorflow.log_model(
                network, name=name, signature=signature, pip_requirements=["keras"], registered_model_name=name
            )
        results.append(nnperm_mlflow.audit(settings, model_uri=f"models:/{name}/{len(results) + 1}"))
    return Audited(audited.address, results[0].experiment_id, results)


def audits_in(experiment_id, mode):
    """Return the address of the experiment's list of audits, in a mode of the page."""
    audits = quote("tags.`nnperm.kind` = 'audit'")
    return f"/#/experiments/{experiment_id}/runs?compareRunsMode={mode}&searchFilter={audits}"


def test_charts_of_named_features_stand_side_by_side_with_a_bar_for_each_audit(page, wide, pictures):
    """The box above the charts takes a pattern; what it does not name is gone."""
    page.set_viewport_size({"width": 1600, "height": 700})
    page.goto(audits_in(wide.experiment_id, "CHART"))
    page.get_by_role("button", name="Toggle sidebar").click()
    named = ["AGE", "LIMIT_BAL", "PAY_0"]
    page.get_by_placeholder("Search metric charts").fill(f"^mean/({'|'.join(named)})$")
    charts = page.get_by_test_id("experiment-view-compare-runs-chart-area")
    expect(charts.get_by_text(re.compile("/"))).to_have_text([f"mean/{name}" for name in named])
    for name in named:
        for result in wide.results:
            mean = result.summary.set_index("perturbation")["mean"][name]
            expect(charts.get_by_text(f"{mean:.2f}", exact=True).first).to_be_visible()
    keep_picture(page, pictures / f"ui_charts_{len(wide.results[0].summary)}.png")


def test_the_table_view_is_narrowed_to_features_by_their_name(page, wide, pictures):
    page.set_viewport_size({"width": 1920, "height": 800})
    page.goto(audits_in(wide.experiment_id, "ARTIFACT"))
    page.get_by_role("button", name="Toggle sidebar").click()
    page.locator("[data-component-id='mlflow.experiment_page.table_resizer.collapse']").click()
    page.get_by_placeholder("Filter by perturbation").fill("PAY_AMT1")
    grid = page.get_by_role("grid").last
    for result in wide.results:
        expect(grid.locator(f".ag-cell[col-id='{result.run_id}']")).to_have_count(1)
        median = result.summary.set_index("perturbation")["median"]["PAY_AMT1"]
        assert column_of(grid, result.run_id) == {"PAY_AMT1": round(median, 10)}
    page.get_by_placeholder("Filter by perturbation").fill("PAY_")
    expect(grid.get_by_text("PAY_0")).to_be_visible()
    keep_picture(page, pictures / f"ui_table_{len(wide.results[0].summary)}.png")


def test_comparing_runs_begins_with_the_features_that_lead(page, wide, pictures):
    """Lines that cross from first to second place, and no digest among them."""
    page.set_viewport_size({"width": 1600, "height": 1000})
    runs, experiments = quote(json.dumps(wide.run_ids)), quote(json.dumps([wide.experiment_id]))
    page.goto(f"/#/compare-runs?runs={runs}&experiments={experiments}")
    page.get_by_role("button", name="Toggle sidebar").click()
    chosen = page.locator(".ant-select-selection-item, .du-bois-light-select-selection-item")
    expect(chosen.first).to_be_visible()
    keep_picture(page, pictures / f"ui_parallel_{len(wide.results[0].summary)}.png")
    assert [each.strip() for each in chosen.all_inner_texts()][:3] == ["1st feature", "2nd feature", "3rd feature"]
    for result, (first, second, third) in zip(wide.results, LEADING, strict=True):
        params = mlflow.get_run(result.run_id).data.params
        assert [params[f"{place} feature"] for place in ("1st", "2nd", "3rd")] == [first, second, third]


def set_weights(network, of_region, of_risk):
    (embedding,) = [layer for layer in network.layers if isinstance(layer, keras.layers.Embedding)]
    embedding.set_weights([of_region])
    risk = network.get_layer("risk")
    risk.set_weights([of_risk, risk.get_weights()[1]])


@pytest.fixture(scope="module")
def browser(audited):
    with running_browser() as running:
        yield running


@pytest.fixture
def page(browser, audited):
    with reading(browser, audited.address) as page:
        yield page


@pytest.fixture
def pictures(tmp_path):
    """Where screenshots go: a temporary folder, or the one that NNPERM_SCREENSHOTS names."""
    folder = Path(os.environ.get("NNPERM_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_the_table_view_compares_features_over_the_runs(page, audited, pictures):
    """A row per feature, a column per audit, in it the median, as deep as MLflow writes numbers."""
    page.set_viewport_size({"width": 1440, "height": 1010})
    audits = quote(f"tags.`nnperm.model` LIKE 'models:/{NAME}/%'")
    page.goto(f"/#/experiments/{audited.experiment_id}/runs?compareRunsMode=ARTIFACT&searchFilter={audits}")
    expect(page.get_by_role("combobox", name="medians.json")).to_be_visible()
    page.get_by_role("button", name="Toggle sidebar").click()
    page.locator("[data-component-id='mlflow.experiment_page.table_resizer.collapse']").click()
    grid = page.get_by_role("grid").last
    for number, result in enumerate(audited.results, 1):
        expect(grid.locator(f".ag-cell[col-id='{result.run_id}']")).to_have_count(len(result.summary))
        expect(grid.locator(f".ag-header-cell[col-id='{result.run_id}']")).to_contain_text(f"audit of {NAME} {number}")
    keep_picture(page, pictures / "ui_table.png")
    for result in audited.results:
        medians = result.summary.set_index("perturbation")["median"]
        assert column_of(grid, result.run_id) == medians.round(10).to_dict()


def column_of(grid, run_id):
    """Return a run's column as a dict by feature."""
    cells = grid.locator(".ag-center-cols-container .ag-row").evaluate_all(
        "(rows, run) => rows.map(row => ['perturbation', run].map("
        "column => row.querySelector(`[col-id='${column}']`).innerText))",
        run_id,
    )
    return {name: float(value) for name, value in cells}


def test_comparing_runs_shows_their_boxplots_side_by_side_on_one_axis(page, audited, pictures):
    page.set_viewport_size({"width": 1920, "height": 640})  # in a narrower one MLflow hides the list of files
    runs, experiments = quote(json.dumps(audited.run_ids)), quote(json.dumps([audited.experiment_id]))
    page.goto(f"/#/compare-runs?runs={runs}&experiments={experiments}")
    page.get_by_role("button", name="Toggle sidebar").click()
    page.locator("[artifact-name='boxplot.png']").click()
    images = page.get_by_role("img", name="boxplot.png")
    expect(images).to_have_count(len(audited.results))
    for image, result in zip(images.all(), audited.results, strict=True):
        expect(image).to_be_visible()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
        assert bytes_of(image) == (result.directory / "boxplot.png").read_bytes()
    images.first.scroll_into_view_if_needed()
    keep_picture(page, pictures / "ui_compare.png")
    places = [image.bounding_box() for image in images.all()]
    assert len({tuple(round(place[side]) for side in ("y", "width", "height")) for place in places}) == 1
    assert all(left["x"] + left["width"] < right["x"] for left, right in pairwise(places))
    assert len({result.figure.axes[0].get_xlim() for result in audited.results}) == 1


def bytes_of(image):
    """Return what the browser got for an image."""
    code = (
        "async image => { const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());"
        "return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join('')); }"
    )
    return base64.b64decode(image.evaluate(code))


def test_the_list_of_versions_shows_the_verdict_on_each(page, audited, pictures):
    """Whole and first among the tags, where the column has room for few; the description begins with words."""
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"/#/models/{NAME}")
    for number, verdict in enumerate(VERDICTS, 1):
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=f"Version {number}"))
        tag = row.get_by_role("status").filter(has_text="nnperm.").first
        expect(tag).to_have_text(f"nnperm.verdict: {verdict}")
        assert right_of(tag) <= right_of(tag.locator("xpath=ancestor::*[@role='cell']"))
        expect(row).not_to_contain_text("<!--")
    keep_picture(page, pictures / "ui_versions.png")


def right_of(element):
    box = element.bounding_box()
    return box["x"] + box["width"]


def test_the_page_of_a_version_tells_of_its_audit_and_leads_to_the_run(page, audited, pictures):
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"/#/models/{NAME}/versions/3")
    description = page.get_by_test_id("note-view-outer-container").first
    expect(description).to_contain_text("fail")
    expect(description).to_contain_text("region (0.1")
    expect(description).not_to_contain_text("<!--")
    keep_picture(page, pictures / "ui_version.png")
    with page.expect_popup() as opened:
        description.get_by_role("link", name="Audit run").click()
    run = opened.value
    expect(run.get_by_role("heading", name=f"audit of {NAME} 3")).to_be_visible()
    expect(run).to_have_url(re.compile(f"/experiments/{audited.experiment_id}/runs/{audited.run_ids[2]}$"))


def test_the_report_opens_in_the_pane_of_artifacts(page, audited, pictures):
    """In a frame that may run scripts and nothing else: the table can be sorted, links lead down the page."""
    page.set_viewport_size({"width": 1600, "height": 950})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    result = audited.results[2]
    page.goto(f"/#/experiments/{audited.experiment_id}/runs/{result.run_id}/artifacts/report.html")
    (frame,) = [page.frame_locator("iframe")]
    expect(frame.get_by_role("heading", level=1)).to_have_text(f"What the predictions of {NAME} 3 rest on")
    expect(frame.get_by_text("policy not kept")).to_be_visible()
    keep_picture(page, pictures / "ui_report.png")
    names = frame.locator("table.boxes").first.locator("tbody th b")
    assert names.all_inner_texts() == result.moved["perturbation"].tolist()
    frame.get_by_role("button", name="feature", exact=True).first.click()
    assert names.all_inner_texts() == sorted(result.moved["perturbation"], key=str.casefold)
    frame.get_by_role("link", name="Method and limits").click()
    expect(frame.get_by_role("heading", name="Method and limits")).to_be_in_viewport()
    ours = [problem for problem in problems if "localStorage" not in problem]  # which the reader's habits are kept in
    assert ours == []


def test_the_page_of_a_run_shows_its_metrics_and_the_registered_model(page, audited, pictures):
    page.set_viewport_size({"width": 1440, "height": 900})
    result = audited.results[2]
    page.goto(f"/#/experiments/{audited.experiment_id}/runs/{result.run_id}")
    expect(page.get_by_role("heading", name=f"audit of {NAME} 3")).to_be_visible()
    for name, median in result.summary.set_index("perturbation")["median"].items():
        key = f"median/{name.replace('=', ' is ')}"
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=key, exact=True))
        expect(row.get_by_role("cell")).to_have_count(3)
        _, value, model = row.get_by_role("cell").all_inner_texts()
        assert (float(value), model) == (median, NAME)
    description = page.get_by_test_id("note-view-outer-container").first
    expect(description).to_contain_text(f"Predictions rest most on {result.moved['perturbation'].iloc[0]}")
    expect(description).to_contain_text("Does it keep the policy? Fail")
    expect(description).not_to_contain_text("<!--")
    models = page.locator("div:has(> h4:text-is('Registered models'))")
    expect(models.get_by_role("link")).to_have_text(re.compile(rf"{NAME}\s*v3"))
    keep_picture(page, pictures / "ui_run.png")
    with page.expect_popup() as opened:
        description.get_by_role("link", name="report.html").click()  # in one of the lines that are seen at once
    there = rf"/experiments/{audited.experiment_id}/runs/{result.run_id}/artifacts/report\.html$"
    expect(opened.value).to_have_url(re.compile(there))
