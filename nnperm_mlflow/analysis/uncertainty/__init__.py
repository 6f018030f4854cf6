"""How sure the numbers of an audit are: how means err over rows that depend on each other, intervals, many at once."""
