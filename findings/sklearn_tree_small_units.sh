#!/usr/bin/env bash
# Guess: a decision tree asks only in which order numbers come, so that it is the same in any unit of a column.
# Seen: scikit-learn's trees and forests do not split between neighbours within 1e-7 of each other, whatever the column's
#   range. A column in mol or metres (2e-9, 5e-9) is constant to them, without an error or a warning; and so are 500 numbers
#   between 0 and 1e-6, of which each lies that near to the next, though the first and the last are told apart alone.
# Why it matters: what a tree does not use looks as if it told nothing. What helps: multiply such a column, by a power of
#   two if no digit may change.
# Exits with another status than 0 where scikit-learn does otherwise.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --no-deps --target "$tmp/packages" "scikit-learn==1.9.1" "numpy==2.4.6" \
  "scipy==1.17.1" "joblib==1.6.0" "threadpoolctl==3.8.0" "narwhals==2.29.0" 2> "$tmp/pip.log" || { cat "$tmp/pip.log"; exit 2; }
cd "$tmp"
PYTHONPATH="$tmp/packages" "${PYTHON:-python3}" -W ignore - <<'PYTHON'
import sys

import numpy as np
import sklearn
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}")
column = np.random.default_rng(0).random(500)
leaves, scores = {}, {}
for unit in (1.0, 1e-6, 1e-8):
    given = unit * column[:, None]
    tree = DecisionTreeRegressor(random_state=0).fit(given, column)
    forest = RandomForestRegressor(20, random_state=0).fit(given, column)
    leaves[unit], scores[unit] = tree.get_n_leaves(), forest.score(given, column)
    print(f"  from 0 to {unit:g}: {leaves[unit]} leaves, a forest's R2 {scores[unit]:.2f}")
sys.exit(0 if leaves[1.0] == 500 and leaves[1e-6] == leaves[1e-8] == 1 and scores[1e-8] < 0.01 else 1)
PYTHON
