"""Where files are: telling URIs from paths, and leaving secrets out of what is shown."""

from __future__ import annotations

import re

_CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")
"""Schemes of URIs in which a container, and no user, stands before the `@`."""

_URI = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]*:/{1,3}[^\s'"<>`]+""")
_PORT = re.compile(r"[^:@]*(:[0-9]*)?|\[[^\]]*\](:[0-9]*)?")  # the last form is that of IPv6
_CLOSING = ".,;:!)]}"  # what stands behind a URI within a sentence


def is_uri(location: str) -> bool:
    """Tell whether a location is a URI (`runs:/...`, `https://...`) and not a path, on a lettered drive or not."""
    scheme, colon, _ = location.partition(":")
    return bool(colon) and len(scheme) > 1 and scheme.replace("+", "").replace("-", "").isalnum()


def without_secrets(location: str) -> str:
    """Return a URI without user, password, query and, on the web, fragment; other locations as they are.

    >>> without_secrets("https://me:secret@house/data.csv?token=x")
    'https://house/data.csv'
    >>> without_secrets("postgresql+psycopg2://me:sec/ret@house:5432/mlflow")
    'postgresql+psycopg2://house:5432/mlflow'
    >>> without_secrets("models:/credit@champion")
    'models:/credit@champion'
    """
    scheme, colon, rest = location.partition(":")
    path = rest.lstrip("/")
    slashes = rest[: len(rest) - len(path)]
    if not is_uri(location) or not slashes:
        return location
    if len(slashes) == 2 or _has_password(path):
        path = _without_user(path, scheme.lower())
    if len(slashes) >= 2:
        path = re.split(r"[?#]" if scheme.lower() in ("http", "https") else r"[?]", path, maxsplit=1)[0]
    return f"{scheme}{colon}{slashes}{path}"


def without_secrets_in(text: str) -> str:
    """Return a text, as another library's message, in which the URIs show no secrets.

    >>> without_secrets_in("no answer from 'http://me:secret@house/api?key=x'.")
    "no answer from 'http://house/api'."
    """
    return _URI.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    uri = found[0].rstrip(_CLOSING)
    return without_secrets(uri) + found[0][len(uri) :]


def _without_user(rest: str, scheme: str) -> str:
    """Return what stands behind the slashes of a URI without user and password, in which there may be slashes, too."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme in _CONTAINERS and ":" not in authority:
        return rest
    if "@" in authority:
        return authority.rpartition("@")[2] + rest[len(authority) :]
    return rest if _PORT.fullmatch(authority) else rest.rpartition("@")[2]


def _has_password(rest: str) -> bool:
    """Tell whether a first segment has the form of `user:password@house`."""
    return bool(re.match(r"[^/@:]*:[^/@]*@", rest))
