"""Names as YAML writes them, whatever letters they have, and long lists of them."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

_ENDLESS = 1 << 30
_WIDTH = 110


def in_a_line(value: str | Sequence[str]) -> str:
    """Return a name, or a list of names, as it stands in a line of YAML.

    >>> in_a_line(["PAY_0", "yes", "a: b"])
    "[PAY_0, 'yes', 'a: b']"
    """
    if not isinstance(value, str):
        return f"[{', '.join(map(inside, value))}]"
    return _dump(value, value).removesuffix("\n...")


def inside(name: str) -> str:
    """Return a name as it stands in a line of YAML between brackets, where more letters mean something.

    >>> in_a_line("models:/credit/3"), inside("models:/credit/3")
    ('models:/credit/3', "'models:/credit/3'")
    """
    return _dump([name], name).removeprefix("[").removesuffix("]")


def _dump(content: object, name: str) -> str:
    style = None if name.isprintable() else '"'  # else a line's end would be one in the file, too
    text = yaml.safe_dump(content, default_flow_style=True, default_style=style, width=_ENDLESS, allow_unicode=True)
    return text.strip()


def in_lines(key: str, names: Sequence[str], indent: str) -> list[str]:
    """Return a key with its list of names, in as many lines as are needed.

    >>> in_lines("num_input", ["LIMIT_BAL", "AGE"], "  ")
    ['  num_input: [LIMIT_BAL, AGE]']
    """
    whole = f"{indent}{in_a_line(key)}: {in_a_line(names)}"
    if len(whole) <= _WIDTH:
        return [whole]
    lines = [f"{indent}{in_a_line(key)}: ["]
    line = f"{indent}  "
    for name in names:
        part = f"{inside(name)}, "
        if len(line) + len(part) > _WIDTH and line.strip():
            lines.append(line.rstrip())
            line = f"{indent}  "
        line += part
    return [*lines, line.rstrip(), f"{indent}]"]
