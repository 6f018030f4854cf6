"""What came out of the made-up class, in plain words and measured numbers."""

from __future__ import annotations

import pandas as pd


def students_in_words(summary: pd.DataFrame) -> str:
    """Hold the audit of the students against what is known to be true of them.

    Parameters
    ----------
    summary : DataFrame
        A row per perturbation, ordered by mean, what was set to a value behind all else.

    Returns
    -------
    str
        One line for each thing that is known.
    """
    mean = summary.set_index("perturbation")["mean"]
    changed = summary.set_index("perturbation")["changed_share"]
    top = summary["perturbation"][0]
    return "\n".join(
        [
            f"'{top}' moves the predicted chance of passing most: by {mean[top]:.2f} on average.",
            f"Study time and ease in maths decide in truth; shuffled, they move it by {mean['study_time']:.2f} and "
            f"{mean['ease_in_maths']:.2f}.",
            f"Hair colour has no effect in truth; shuffled, it moves the chance by {mean['hair_colour']:.4f}.",
            f"Cheaters always pass, but are rare: a shuffle reaches only {changed['cheater']:.1%} of the students, and "
            f"moves the chance by {mean['cheater']:.2f}. If everybody cheated, 'cheater=1', it would move by "
            f"{mean['cheater=1']:.2f}.",
        ]
    )
