"""Where files are: telling URIs from paths, and leaving secrets out of what is shown."""

from __future__ import annotations


def is_uri(location: str) -> bool:
    """Tell whether a location is a URI (`runs:/...`, `https://...`) and not a path, on a lettered drive or not."""
    scheme, colon, _ = location.partition(":")
    return bool(colon) and len(scheme) > 1 and scheme.replace("+", "").replace("-", "").isalnum()


def without_secrets(location: str) -> str:
    """Return a URL without user, password and query; other locations as they are.

    >>> without_secrets("https://me:secret@house/data.csv?token=x")
    'https://house/data.csv'
    """
    if "://" not in location:
        return location
    scheme, rest = location.split("://", 1)
    host, slash, path = rest.split("?", 1)[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
