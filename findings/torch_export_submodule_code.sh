#!/usr/bin/env bash
# Guess: a module with an embedding called `code` (as a network of a category code has) is exported, saved, loaded and
#   called like one that calls it anything else.
# Seen: it is exported, saved and loaded without a word, and the loaded program cannot be made a module again: `code` is also
#   the attribute in which a graph module keeps its own source text. The same network with the name `codes` works.
# Why it matters: MLflow's default format for PyTorch is such a saved program, and loading it makes it a module: the model
#   is logged and registered, and the first who loads it finds out.
# Exits with another status than 0 where PyTorch does otherwise.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/python" -m pip install --quiet "torch==2.13.0" "numpy<3" 2> "$tmp/pip.log" || { cat "$tmp/pip.log"; exit 2; }
cd "$tmp"
"$tmp/venv/bin/python" -W ignore - 2> log <<'PYTHON' || { tail -3 log; exit 1; }
import io
import sys

import torch


def outcome(name):
    """Export, save, load and call a network whose embedding has that name."""

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            setattr(self, name, torch.nn.Embedding(6, 3))

        def forward(self, category):
            return getattr(self, name)(category)

    network, category, file = Network().eval(), torch.tensor([0, 3, 5]), io.BytesIO()
    torch.export.save(torch.export.export(network, (category,)), file)
    file.seek(0)
    program = torch.export.load(file)
    try:
        return bool(torch.equal(program.module()(category), network(category)))
    except Exception as error:
        return type(error).__name__


found = {name: outcome(name) for name in ("codes", "code")}
print(f"torch {torch.__version__}: loaded and called, by the embedding's name: {found}")
sys.exit(0 if found["codes"] is True and isinstance(found["code"], str) else 1)
PYTHON
