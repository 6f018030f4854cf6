"""Fuzzing guided by coverage, for hours rather than seconds: what the tests do at random, atheris does with a plan.

    pip install atheris
    python fuzz/guided.py npy corpus/ -max_total_time=600 -rss_limit_mb=4096

The first argument is a reader of tests/support/fuzzing.py, the others are those of libFuzzer; `corpus/` keeps what has
reached new lines. An input that ends in another error than a documented one is left behind as crash-<digest>.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
CODE = ["nnperm_mlflow", "yaml", "zipfile", "gzip", "tokenize", "numpy.lib", "pandas.io"]
with atheris.instrument_imports(include=CODE):
    from tests.support.fuzzing import READERS


def main(name: str, arguments: list[str]) -> None:
    """Fuzz a reader until libFuzzer's arguments say that it is enough."""
    reader = READERS[name]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    path = folder / f"input{reader.suffix}"
    for directory in (Path(given) for given in arguments if not given.startswith("-")):
        directory.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(reader.seeds()):
            (directory / f"seed-{number}").write_bytes(content)

    def try_one(content: bytes) -> None:
        path.write_bytes(content)
        try:
            reader.read(path)
        except reader.refuses:
            return

    warnings.simplefilter("ignore")
    atheris.Setup([sys.argv[0], *arguments], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
