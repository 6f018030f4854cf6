"""How results show themselves: no letter of a stranger breaks a line, or means anything in a notebook."""

from nnperm_mlflow.basics.display import as_html, in_a_line

HOSTILE = "<script>alert(1)</script>\n\x1b[2J"


def test_a_line_stays_a_short_line():
    line = in_a_line("Verdict", HOSTILE * 50)
    assert line.isprintable()
    assert len(line) <= 200
    assert line.endswith("...>")


def test_names_are_text_in_a_notebook_wherever_they_stand(tmp_path):
    shown = as_html(
        HOSTILE, facts=[(HOSTILE, HOSTILE)], header=[HOSTILE], rows=[[HOSTILE]], notes=[HOSTILE], link=HOSTILE,
        picture=tmp_path / "gone.png",
    )  # fmt: skip
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert shown.count("&lt;script&gt;") == 8
    assert "<img" not in shown


def test_a_picture_goes_with_the_page_unless_it_is_large(tmp_path):
    picture = tmp_path / "boxplot.png"
    picture.write_bytes(b"small")
    assert 'src="data:image/png;base64,c21hbGw="' in as_html("it", picture=picture)
    picture.write_bytes(bytes(2**20 + 1))
    assert "<img" not in as_html("it", picture=picture)
