"""Pages as one file of HTML that asks nobody for anything: style, script and a rule that forbids all else are in it."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nnperm_mlflow.analysis.statistics.order import FAR, FEW_HELD
from nnperm_mlflow.basics.text import printable
from nnperm_mlflow.report.page.boxes import ticks
from nnperm_mlflow.report.page.heat import is_dark
from nnperm_mlflow.report.page.numbers import moment, several

_OWN_STYLES = ("shuffle", "order", "conditional", "set")
_TEMPLATES = "templates"


def render(template: str, **shown: object) -> str:
    """Return a page; from the same values it is the same, byte by byte.

    Whatever comes from a run enters it as text, escaped; the script is the same for all pages and reads the page alone,
    and the page forbids the browser every other script and every request.

    Parameters
    ----------
    template : str
        Name of the file in `templates/`.
    **shown : object
        What it shows, by name.
    """
    style, script = (_shipped(name) for name in ("style.css", "script.js"))
    return (
        _environment()
        .get_template(template)
        .render(
            style=Markup(style),  # noqa: S704 - shipped with this package
            script=Markup(script),  # noqa: S704
            script_digest=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
            **shown,
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("nnperm_mlflow.report.page", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda told: printable(told) if type(told) is str else told,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {
        "ticks": ticks,
        "several": several,
        "moment": moment,
        "is_dark": is_dark,
        "few_held": FEW_HELD,
        "far": FAR,
        "style_of": lambda way: way if way in _OWN_STYLES else "other",
    }
    return environment


def _shipped(name: str) -> str:
    return files("nnperm_mlflow.report.page").joinpath(_TEMPLATES).joinpath(name).read_text(encoding="utf-8")
