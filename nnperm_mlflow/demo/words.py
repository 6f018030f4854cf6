"""What came out of the made-up class, in plain words and measured numbers."""

from __future__ import annotations

import pandas as pd


def students_in_words(summary: pd.DataFrame) -> str:
    """Hold the audit of the students against what is known to be true of them.

    Parameters
    ----------
    summary : DataFrame
        A row per perturbation, ordered by median.

    Returns
    -------
    str
        One line for each thing that is known.
    """
    median = summary.set_index("perturbation")["median"]
    changed = summary.set_index("perturbation")["changed_share"]
    top = summary["perturbation"][0]
    return "\n".join(
        [
            f"'{top}' moves the predicted chance of passing most: by {median[top]:.2f} or more for half of the class.",
            f"Study time and ease in maths decide in truth; shuffled, they move it by {median['study_time']:.2f} and "
            f"{median['ease_in_maths']:.2f}.",
            f"Hair colour has no effect in truth; shuffled, it moves the chance by {median['hair_colour']:.4f}.",
            f"Cheaters always pass, but are rare: a shuffle reaches only {changed['cheater']:.1%} of the students, so "
            f"that its median is {median['cheater']:.2f}. With everybody set to cheater, 'cheater=1', it is "
            f"{median['cheater=1']:.2f}.",
        ]
    )
