"""The document as one file of HTML without a script, by a template of this package or by one that a stranger wrote."""

from __future__ import annotations

from pathlib import Path

from jinja2 import PackageLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.text import printable
from nnperm_mlflow.report.document.chapters import Document

_TEMPLATE = "document.html.j2"
_FAULTS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a template can do wrong beside its language's own errors."""


def web_file(document: Document, template: Path | None = None) -> str:
    """Return the document as HTML.

    Parameters
    ----------
    document : Document
    template : Path, optional
        Of Jinja2, which is given `document` alone, and may extend `document.html.j2`. It is followed in a sandbox:
        it reaches no file, no module and nothing but texts, and whatever it shows of the document is text.

    Raises
    ------
    ConfigError
        If the template cannot be read, or not be followed.
    """
    environment = _environment()
    if template is None:
        return environment.get_template(_TEMPLATE).render(document=document)
    try:
        text = template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text of UTF-8"
        raise ConfigError(f"the template '{template}' cannot be read: {reason}.") from error
    try:
        return environment.from_string(text).render(document=document)
    except (TemplateError, *_FAULTS) as error:
        at = getattr(error, "lineno", None)
        line = f", line {at}" if at else ""
        raise ConfigError(
            f"the template '{template}' cannot be followed{line}: {error}. It is Jinja2 and is given 'document' alone; "
            "docs/report.md tells what that holds."
        ) from error


def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=PackageLoader("nnperm_mlflow.report.document", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda told: printable(told) if type(told) is str else told,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
