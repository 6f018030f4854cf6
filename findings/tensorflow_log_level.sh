#!/usr/bin/env bash
# TensorFlow writes to standard error while it is imported, whatever TF_CPP_MIN_LOG_LEVEL says.
#
# Guess, by what the variable is documented to do: at level 3, of errors alone, the import leaves standard error empty.
# Seen with tensorflow-cpu 2.21.0 on x86-64: level 1 and above silence `cpu_feature_guard.cc`, but at every level up to 3
# the import says "All log messages before absl::InitializeLog() is called are written to STDERR" and, of severity INFO,
# "oneDNN custom operations are on", twice each: they are logged before the level counts. The line advises
# TF_ENABLE_ONEDNN_OPTS=0, with which there is silence, and other numbers in the last bits.
# Why it matters: programs whose standard error is read (cron mails, CI logs, wrappers that take any line for an error)
# cannot be quietened by the documented variable; following the advice of the line changes predictions.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m pip install -q --target "$tmp" "tensorflow-cpu==2.21.0" >/dev/null 2>&1
for level in 0 1 2 3; do
    TF_CPP_MIN_LOG_LEVEL=$level PYTHONPATH=$tmp python3 -W ignore -c "import tensorflow" 2>"$tmp/said"
    level_independent=$(grep -c "oneDNN custom operations are on" "$tmp/said" || true)
    of_processor=$(grep -c "cpu_feature_guard" "$tmp/said" || true)
    echo "tensorflow-cpu 2.21.0, TF_CPP_MIN_LOG_LEVEL=$level: $level_independent lines of oneDNN, $of_processor of the processor"
    [ "$level_independent" -ge 1 ]
    [ "$level" = 0 ] || [ "$of_processor" = 0 ]
done
TF_ENABLE_ONEDNN_OPTS=0 TF_CPP_MIN_LOG_LEVEL=3 PYTHONPATH=$tmp python3 -W ignore -c "import tensorflow" 2>"$tmp/said"
[ "$(grep -c oneDNN "$tmp/said" || true)" = 0 ]
echo "as described"
