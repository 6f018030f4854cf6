#!/usr/bin/env bash
# Guess: a model whose table has a pandas category column, logged with the signature that MLflow infers from that very
#   table, predicts for that table through mlflow.pyfunc: the signature calls the column a string, and the categories are
#   strings.
# Seen: MLflow refuses it ("Can not safely convert category to <U0"). With the column as text it lets it through, and a
#   model that asks for categories (LightGBM, XGBoost) then fails: through pyfunc such a model cannot be called at all.
# Why it matters: LightGBM and XGBoost models on category columns are common. They log and load without a word, and fail
#   when they are served, evaluated or audited. What works is a PythonModel around them that makes the categories.
# Exits with another status than 0 where MLflow does otherwise.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --target "$tmp/packages" "mlflow-skinny==3.17.2" "pandas==3.1.1" "numpy==2.4.6" \
  2> "$tmp/pip.log" || { cat "$tmp/pip.log"; exit 2; }
cd "$tmp"
PYTHONPATH="$tmp/packages" MLFLOW_DISABLE_TELEMETRY=true "${PYTHON:-python3}" -W ignore - <<'PYTHON'
import logging
import sys

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature

logging.getLogger("mlflow").setLevel(logging.ERROR)


class Model(mlflow.pyfunc.PythonModel):
    """What a model of categories does: it asks pandas for their codes."""

    def predict(self, context, table, params=None):
        return table["city"].cat.codes.to_numpy() * 1.0


table = pd.DataFrame({"city": pd.Categorical(["Ulm", "Bonn", "Ulm"])})
signature = infer_signature(table, np.zeros(3))
mlflow.pyfunc.save_model("model", python_model=Model(), signature=signature, pip_requirements=[])
loaded = mlflow.pyfunc.load_model("model")
print(f"mlflow {mlflow.__version__}, pandas {pd.__version__}; signature: {signature.inputs}")
print("the model itself:", Model().predict(None, table).tolist())
outcomes = []
for what, given in (("the table itself", table), ("the column as text", table.astype(object))):
    try:
        outcomes.append(f"predicted {loaded.predict(given).tolist()}")
    except Exception as error:
        outcomes.append(f"{type(error).__name__}: {str(error).splitlines()[-1][-90:]}")
    print(f"through pyfunc, {what}: {outcomes[-1]}")
refused = outcomes[0].startswith("MlflowException") and "category" in outcomes[0]
sys.exit(0 if refused and outcomes[1].startswith("AttributeError") else 1)
PYTHON
