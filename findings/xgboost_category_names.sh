#!/usr/bin/env bash
# Guess: XGBoost re-codes the categories of a DataFrame by their names, as it says since 3.1, so that their order in a new
#   table does not matter.
# Seen: it does so where all names are ASCII. Where one holds another letter ("Köln"), rows are taken for other categories
#   in some orders, without an error or a warning, and predictions are those of another city.
# Why it matters: categories are in the order of the alphabet, or of a file; a table of new rows, a sample or a shuffled
#   column may have them in another one. What helps: pd.Categorical(..., categories=[...]) in the order of training.
# Exits with another status than 0 where XGBoost does otherwise.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --no-deps --target "$tmp/packages" "xgboost==3.2.0" "pandas==3.1.1" \
  "numpy==2.4.6" "scipy==1.17.1" "python-dateutil==2.9.0.post0" "six==1.17.0" 2> "$tmp/pip.log" || { cat "$tmp/pip.log"; exit 2; }
cd "$tmp"
PYTHONPATH="$tmp/packages" "${PYTHON:-python3}" -W ignore - <<'PYTHON'
import sys
from itertools import permutations

import numpy as np
import pandas as pd
import xgboost as xgb

print(f"xgboost {xgb.__version__}, pandas {pd.__version__}, numpy {np.__version__}")


def wrong_orders(names):
    """Return in how many orders of the categories the same rows get other predictions than in that of training."""
    rows = np.array(names * 40)

    def table(order):
        return xgb.DMatrix(pd.DataFrame({"city": pd.Categorical(rows, categories=order)}), enable_categorical=True)

    trained = table(names)
    trained.set_label(np.array([10.0 * names.index(name) for name in rows]))
    model = xgb.train({"max_depth": 3, "learning_rate": 1.0, "max_cat_to_onehot": 9}, trained, 20)
    expected = model.predict(table(names))
    found = {order: float(np.abs(model.predict(table(list(order))) - expected).max()) for order in permutations(names)}
    for order, off in found.items():
        print(f"  {', '.join(order)}: off by {off:.2f}")
    return sum(off > 1 for off in found.values())


counts = [wrong_orders(names) for names in (["Bern", "Bonn", "Ulm"], ["Bonn", "Köln", "Ulm"])]
print("orders with other predictions:", counts)
sys.exit(0 if counts[0] == 0 and counts[1] > 0 else 1)
PYTHON
