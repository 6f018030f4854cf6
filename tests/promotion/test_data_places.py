"""From where data may be read that a run names: no prefix lets in what only looks like it."""

import pytest

from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.config.data_config import DataConfig, TemporalConfig
from nnperm_mlflow.promotion.data_places import may_be_read, refuse_elsewhere

HERE = ["https://data.example.org/risk"]


@pytest.mark.parametrize(
    ("location", "allowed", "may"),
    [
        ("/srv/risk/clients.csv", [], True),
        ("file:///srv/risk/clients.csv", [], True),
        ("https://data.example.org/risk/clients.csv", [], False),
        ("s3://risk/clients.csv", [], False),
        ("runs:/0123/clients.csv", [], False),
        ("//fileserver/share/clients.csv", [], False),
        (r"\\fileserver\share\clients.csv", [], False),
        ("a\0b", [], False),
        ("https://data.example.org/risk/clients.csv", HERE, True),
        ("https://data.example.org/risk", HERE, True),
        ("https://data.example.org/risk/clients.csv", ["https://data.example.org/risk/"], True),
        ("https://data.example.org/risk-of-others/clients.csv", HERE, False),
        ("https://data.example.org/risk/../other/clients.csv", HERE, False),
        ("https://data.example.org/risk/%2e%2e/other/clients.csv", HERE, False),
        ("https://data.example.org@elsewhere.example/risk/clients.csv", ["https://data.example.org"], False),
        ("https://data.example.org.elsewhere.example/clients.csv", ["https://data.example.org"], False),
        ("/srv/risk/clients.csv", HERE, False),
        ("/srv/risk/clients.csv", ["/srv/risk"], True),
        ("file:///srv/risk/clients.csv", ["/srv/risk"], True),
        ("/srv/risk/../other/clients.csv", ["/srv/risk"], False),
        ("/srv/risk-of-others/clients.csv", ["/srv/risk"], False),
        ("/srv/risk/clients.csv", [*HERE, "/"], True),
    ],
)
def test_a_place_is_allowed_with_all_below_it_and_nothing_beside(location, allowed, may):
    assert may_be_read(location, allowed) is may


def test_a_link_counts_as_what_it_leads_to(tmp_path):
    (tmp_path / "allowed").mkdir()
    (tmp_path / "elsewhere.csv").write_text("age\n1\n")
    (tmp_path / "allowed" / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    assert not may_be_read(str(tmp_path / "allowed" / "link.csv"), [str(tmp_path / "allowed")])


def test_all_files_of_a_configuration_are_looked_at_and_no_password_is_shown():
    history = {"history": TemporalConfig(file="https://me:secret@data.example.org/h.npy", channels=["a"])}
    with pytest.raises(EvidenceError, match=r"run 1 names data at 'https://data.example.org/h.npy'.*files of this"):
        refuse_elsewhere(DataConfig(static="clients.csv", temporal=history), [], "run 1")
    with pytest.raises(EvidenceError, match=r"allowed: s3://risk\. .*--allow-data"):
        refuse_elsewhere(DataConfig(static="clients.csv"), ["s3://risk"], "run 1")
