"""The description of a run: what people wrote there stays, and ours is there once."""

from nnperm_mlflow.registry.run_note import MOST_NOTE, with_note


def test_what_people_wrote_around_it_stays_and_the_newest_section_is_there_once():
    first = with_note("Ask Ada.\n", "old words")
    second = with_note(f"{first}\n\nShe knows more.", "new words")
    assert second.startswith("Ask Ada.\n\n<!--")
    assert second.endswith("-->\n\nShe knows more.")
    assert "old words" not in second
    assert second.count("new words") == 1
    assert with_note(second, "new words") == second


def test_a_description_that_is_full_stays_as_it_is(caplog):
    full = "x" * (MOST_NOTE - 20)
    assert with_note(full, "new words") == full
    assert "the description of the run is full" in caplog.text
    assert len(with_note("x" * 100, "y" * (MOST_NOTE - 300))) <= MOST_NOTE
