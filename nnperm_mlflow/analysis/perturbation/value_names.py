"""What a feature can hold and be set to, and how such a value stands in names."""

from __future__ import annotations

Value = bool | int | float | str
"""What a feature can be set to, in the unit of the model's input."""


def value_name(value: Value) -> str:
    """Return a value as it stands in names: `1` for 1.0, `0.5`, `yes`.

    >>> value_name(1.0), value_name(0.5), value_name("yes"), value_name(True)
    ('1', '0.5', 'yes', 'True')
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
