#!/usr/bin/env bash
# Guess: scoring 100 rows is a matter of sorting 100 numbers; what else it costs are checks of parameters and values, which
#   two documented switches (skip_parameter_validation, assume_finite) turn off, so that about half of the calls go.
# Seen: one roc_auc_score of 100 rows makes more than 5,000 function calls in Python, for 10 rows as for 1,000. The switches save less
#   than a tenth. Most are made to find out which library the arrays are of: narwhals is asked for each kind of data
#   frame, and signatures are inspected again, in every check of every array. Of scikit-learn 1.5 they were fewer than
#   half as many.
# Why it matters: who scores many small samples (a jackknife, permutations, segments) pays some milliseconds for each, whatever its
#   size. What helps: fewer calls, as by what each row adds to a score.
# Exits with another status than 0 where scikit-learn does otherwise.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
install() { # folder, then packages
  "${PYTHON:-python3}" -m pip install --quiet --no-deps --target "$tmp/$1" "${@:2}" 2> "$tmp/pip.log" || { cat "$tmp/pip.log"; exit 2; }
}
install new "scikit-learn==1.9.1" "numpy==2.4.6" "scipy==1.17.1" "joblib==1.6.0" "threadpoolctl==3.8.0" "narwhals==2.29.0"
install old "scikit-learn==1.5.2" "numpy==1.26.4" "scipy==1.14.1" "joblib==1.4.2" "threadpoolctl==3.5.0"
cd "$tmp"
cat > count.py <<'PYTHON'
import cProfile
import pstats

import numpy as np
import sklearn
from sklearn.metrics import roc_auc_score


def calls(n_rows, **switches):
    rng = np.random.default_rng(0)
    labels, scores = np.arange(n_rows) % 2, rng.random(n_rows)
    profile = cProfile.Profile()
    with sklearn.config_context(**switches):
        roc_auc_score(labels, scores)
        profile.runcall(roc_auc_score, labels, scores)
    return pstats.Stats(profile).total_calls


quick = {"skip_parameter_validation": True, "assume_finite": True}
print(sklearn.__version__, calls(10), calls(100), calls(1_000), calls(100, **quick))
PYTHON
read -r old _ old_100 _ old_quick <<< "$(PYTHONPATH="$tmp/old" "${PYTHON:-python3}" -W ignore count.py)"
read -r new new_10 new_100 new_1000 new_quick <<< "$(PYTHONPATH="$tmp/new" "${PYTHON:-python3}" -W ignore count.py)"
echo "scikit-learn $new: $new_10, $new_100 and $new_1000 calls for 10, 100 and 1,000 rows; with both switches $new_quick for 100 rows"
echo "scikit-learn $old: $old_100 calls for 100 rows; with both switches $old_quick"
[ "$new_100" -gt 5000 ] && [ $((new_1000 * 100)) -lt $((new_10 * 105)) ] && [ $((new_quick * 10)) -gt $((new_100 * 9)) ] &&
  [ $((old_100 * 2)) -lt "$new_100" ]
