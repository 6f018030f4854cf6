"""An audit in a notebook, run by a real kernel: a bar while it goes on, and the result as a page."""

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outputs(house, store):
    """For each cell what it shows in the end."""
    cells = [
        f"import mlflow, nnperm_mlflow\nmlflow.set_tracking_uri({store!r})",
        f"result = nnperm_mlflow.audit({str(house.config)!r}, model_uri='models:/house/1')",
        "result",
        f"nnperm_mlflow.audit({str(house.config)!r}, model_uri='models:/house/1', progress=False);",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=300).execute()
    return [cell.outputs for cell in notebook.cells]


def shown(outputs):
    """What front ends show beside what is printed."""
    return [output.data for output in outputs if output.output_type in ("display_data", "execute_result")]


def test_the_bar_stands_in_one_place_and_ends_full(outputs):
    (bar,) = shown(outputs[1])
    assert bar["text/html"].startswith('<progress value="400" max="400"></progress> 400 of 400 rows done')
    assert bar["text/plain"].startswith("400 of 400 rows done")


def test_the_result_is_a_page_with_the_picture(outputs):
    (page,) = shown(outputs[2])
    shown_in_a_line = (
        "<AuditResult models:/house/1 on 400 rows of house.parquet; predictions move most with 'age' (mean "
    )
    assert page["text/plain"].startswith(shown_in_a_line)
    assert "95 % interval" in page["text/html"]
    assert 'src="data:image/png;base64,' in page["text/html"]


def test_a_bar_that_is_switched_off_is_not_there(outputs):
    assert shown(outputs[3]) == []
