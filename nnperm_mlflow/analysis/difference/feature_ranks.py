"""How sure the place of a feature among the others of an audit is.

Features are disturbed in the same rows, so that their numbers err together. What settles which of two is larger is
their difference, row by row, and not whether their intervals meet. A place among p features rests on p - 1 differences
at once, each of which is therefore held to 1/(p - 1) of the error that is allowed (Mogstad, Romano, Shaikh and Wilhelm,
"Inference for Ranks with Applications to Mobility across Neighbourhoods and Academic Achievement across Countries",
Review of Economic Studies, 2024).
"""

from __future__ import annotations
