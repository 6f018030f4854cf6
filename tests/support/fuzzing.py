"""Valid files broken in many ways, and the readers that must refuse them in words.

It runs as a process of its own, `python -m tests.support.fuzzing <reader> <inputs> <seed> <folder>`, so that an input
that brings the process down is left behind in the folder and can be told.
"""

import gzip
import io
import json
import resource
import signal
import sys
import traceback
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nnperm_mlflow.analysis.engine.table import TableReader, columns_by_perturbation, read_schema, table_metadata
from nnperm_mlflow.basics.errors import AuditError, ConfigError, DataError
from nnperm_mlflow.config.audit_config import load_config
from nnperm_mlflow.config.data_config import DataConfig, TemporalConfig
from nnperm_mlflow.config.policy import load_policy
from nnperm_mlflow.inputs import tables
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import load_dataset
from nnperm_mlflow.inputs.specs import InputSpec

CONFIGS = Path(__file__).parents[2] / "configs"
MOST_SECONDS = 60
"""For one input, on a machine that is busy otherwise: more is a hang."""
MOST_BYTES = 4 << 30
"""Of address space of the process, libraries included: an array of more is asked for by a header that lies."""
MOST_NEW_BYTES = 512 << 20
"""Of memory that the process may come to hold while it reads small files."""

NUMBERS = [bytes(8), b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f", b"\x00\x10\xa5\xd4\xe8\x00\x00\x00"]
YAML_TOKENS = [
    "&", "*", "&a", "*a", "<<:", "<<: [*a, *a]", "!!int", "!!float", "!!timestamp", "!!bool", "!!null", "!!binary",
    "!!set", "!!omap", "!!pairs", "!!str", "!!merge", "!!python/object/apply:os.system", "!x", "[", "]", "{", "}", "?",
    ":", "-", ",", "|", ">", "%", "@", "`", "'", '"', "#", "---", "...", "=", "~", "0x", "0b1", "1:59:59", "1e999",
    ".inf", ".nan", "0o7", "1_0", "2024-01-01", "2024-13-45", "0001-01-01T00:00:00+23:59", '"\\UFFFFFFFF"',
    '"\\ud800"', '"\\x00"', "%YAML", "%TAG", "null", "true", "[[[[[[[[", "{a: {a: {a:", "checks", "analysis", "data",
]  # fmt: skip
TABLE = pd.DataFrame(
    {
        "age": np.arange(40.0),
        "code": np.arange(40) % 4,
        "flag": [True, False] * 20,
        "city": ["Ulm", "Bonn", "Köln", None] * 10,
        "gaps": pd.array([None, *range(39)], dtype="Int64"),
        "maybe": pd.array([True, None] * 20, dtype="boolean"),
        "day": pd.date_range("2024-01-01", periods=40),
    }
)


@dataclass(frozen=True)
class Reader:
    """What is fuzzed: valid files, how they are broken beside byte by byte, what reads them, and how it may refuse."""

    suffix: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    refuses: tuple[type[Exception], ...]
    tokens: tuple[bytes, ...] = ()
    wrap: Callable[[bytes, np.random.Generator], bytes] = lambda content, rng: content


def broken(content: bytes, others: list[bytes], tokens: tuple[bytes, ...], rng: np.random.Generator) -> bytes:
    """Return a file's content after one to four changes: flipped bits, cuts, splices, repeats, tokens, numbers."""
    for _ in range(rng.integers(1, 4)):
        at, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
        if rng.random() < 0.5:  # formats keep what matters in their first and last bytes
            at = int(rng.integers(0, min(len(content), 160) + 1))
            at = len(content) - at if rng.random() < 0.5 else at
            end = min(len(content), at + int(rng.integers(0, 9)))
        other = others[rng.integers(len(others))]
        from_, to = sorted(rng.integers(0, len(other) + 1, 2).tolist())
        number = NUMBERS[rng.integers(len(NUMBERS))][: rng.choice([1, 2, 4, 8])]
        token = tokens[rng.integers(len(tokens))] if tokens else number
        match rng.integers(8):
            case 0:
                flipped = bytearray(content)
                for place in rng.integers(0, max(1, len(content)), rng.integers(1, 9)) if content else []:
                    flipped[place] ^= 1 << int(rng.integers(8))
                content = bytes(flipped)
            case 1:
                content = content[:at]
            case 2:
                content = content[:at] + content[end:]
            case 3:
                content = content[:at] + content[at:end] * int(rng.integers(2, 5)) + content[end:]
            case 4:
                content = content[:at] + other[from_:to] + content[end:]
            case 5:
                content = content[:at] + number + content[at + len(number) :]
            case 6:
                content = content[:at] + token + content[at:]
            case _:
                content = content[:at] + bytes(rng.integers(0, 256, end - at, dtype=np.uint8)[:64]) + content[end:]
        content = content[: 1 << 20]
    return content


def _texts(*names: str) -> list[bytes]:
    return [(CONFIGS / name).read_bytes() for name in names]


def _arrays() -> list[np.ndarray]:
    whole = np.arange(48).reshape(4, 3, 4)
    kinds = ["float64", "float32", ">f4", "float16", "int8", "uint64", "bool", "int16"]
    return [whole.astype(kind) for kind in kinds] + [np.asfortranarray(whole)]


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def zipped(npy: bytes, method: int, name: str = "history.npy") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(name, npy)
    return stream.getvalue()


def _npz_seeds() -> list[bytes]:
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]
    return [zipped(_npy(array), method) for array in _arrays() for method in methods]


def _zip_again(content: bytes, rng: np.random.Generator) -> bytes:
    """Break the array inside an archive that is whole, half of the time: a checksum guards it otherwise."""
    if rng.random() < 0.5:
        return content
    array = _npy(_arrays()[rng.integers(9)])
    return zipped(broken(array, [array], NPY_TOKENS, rng), int(rng.choice([0, 8])))


def _csv_seeds() -> list[bytes]:
    texts = [
        TABLE.to_csv(index=False),
        TABLE.to_csv(index=False, quoting=1),
        "a,b\n1,2\n",
        "a;b\n1,5;2\n",
        TABLE.to_csv(),
    ]
    return [text.encode() for text in texts]


def _summary_seeds() -> list[bytes]:
    summary = pd.DataFrame(
        {
            "perturbation": ["SEX", "SEX=1", 'a "b", c'], "feature": ["SEX", "SEX", "a\nb"], "kind": "category",
            "way": ["shuffle", "set", "shuffle"], "value": ["", "1", ""], "rows": 40, "skipped": 0,
            "held": [np.nan, 3.0, np.nan], "median": [0.25, 1e-300, 0.0], "median_low": [0.2, 0.0, 0.0],
            "median_high": [0.3, 1.0, np.nan], "mean": [0.5, np.nan, -0.0], "q95": [0.9, 1.0, 0.0],
            "max": [1.0, 1e300, 0.0], "changed_share": [1.0, 0.5, 0.0], "changed_median": [0.25, 0.5, np.nan],
            "flipped_share": [0.1, np.nan, 0.0], "measurable": [True, True, False],
        }
    )  # fmt: skip
    more = [
        summary.assign(perturbation=[f"{name} {number}" for name in summary["perturbation"]]) for number in range(9)
    ]
    summary = pd.concat([summary, *more])  # so that most changes hit a number, and not the names of columns
    texts = [summary.to_csv(index=False), summary.to_csv(index=False, quoting=1), summary[:1].to_csv(index=False)]
    return [text.encode() for text in texts]


def _pack(content: bytes, rng: np.random.Generator) -> bytes:
    return gzip.compress(content) if rng.random() < 0.7 else broken(gzip.compress(content), [content], (), rng)


V2 = {"city": "DELTA_LENGTH_BYTE_ARRAY", "age": "BYTE_STREAM_SPLIT", "code": "DELTA_BINARY_PACKED", "flag": "RLE"}


def _parquet_seeds() -> list[bytes]:
    ways = [
        {"compression": "snappy"}, {"compression": None}, {"compression": "zstd", "row_group_size": 16},
        {"compression": "gzip", "index": True}, {"compression": None, "use_dictionary": False},
        {"use_dictionary": False, "compression": None, "column_encoding": {"city": "DELTA_BYTE_ARRAY"}},
        {"use_dictionary": False, "data_page_version": "2.0", "column_encoding": V2},
    ]  # fmt: skip
    return [_parquet(TABLE.set_index("city", drop=False).rename_axis("old") if "index" in way else TABLE, **way)
            for way in ways]  # fmt: skip


def _parquet(table: pd.DataFrame, **way: object) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream, **way)
    return stream.getvalue()


def _table_seeds() -> list[bytes]:
    """Deviation tables."""
    described = [{"perturbation": "age", "column": "age", "feature": "age", "way": "shuffle", "value": None}]
    arrays = {
        "row": np.arange(40), "row_id": [f"r{row}" for row in range(40)], "repeat": np.zeros(40, "int32"),
        "baseline": np.linspace(0, 1, 40), "age": np.linspace(0, 1, 40, dtype="float32"),
    }  # fmt: skip
    table = pa.table(arrays).replace_schema_metadata({"nnperm": json.dumps({"seed": 0, "perturbations": described})})
    seeds = []
    for compression in ("zstd", "none"):
        stream = io.BytesIO()
        pq.write_table(table, stream, compression=compression, row_group_size=20)
        seeds.append(stream.getvalue())
    return seeds


def read_static(path: Path) -> str:
    """Read a table, know it by its digest, and take every column as an input of numbers and one of text."""
    data = load_dataset(DataConfig(static=str(path)), Path, ["code", "day"])
    for dtype in ("float32", "int32", "object"):
        for name in data.columns:
            spec = InputSpec("num_input", (), np.dtype(dtype), is_column=True)
            try:
                bind_inputs([spec], data, {"num_input": name}).read(np.arange(data.n_rows))
            except DataError:
                continue
    return data.digest()


def read_both_ways(path: Path, broken: bool = False) -> None:
    """Read a Parquet table as a small one and as one whose numbers stay on disk, which must come to the same.

    A broken file may contradict itself in what only one of the two looks at.
    """
    digests, limit = [], tables._IN_MEMORY_BYTES
    for bytes_in_memory in (limit, -1):
        tables._IN_MEMORY_BYTES = bytes_in_memory
        try:
            digests.append(read_static(path))
        except AuditError as error:
            digests.append(type(error).__name__)
        finally:
            tables._IN_MEMORY_BYTES = limit
    if digests[0] != digests[1] and not (broken and "DataError" in digests):
        raise RuntimeError(f"a small table is {digests[0]}, a large one {digests[1]}")
    if "DataError" in digests:
        raise DataError("refused")


def read_history(path: Path) -> None:
    """Read an array, know it by its digest, and take it as an input."""
    spec = TemporalConfig(file=str(path), channels=["p", "q", "r"])
    data = load_dataset(DataConfig(temporal={"history": spec}), Path)
    data.digest()
    inputs = [InputSpec("temporal_input", (None, 3), np.dtype("float32"))]
    bind_inputs(inputs, data, {"temporal_input": "history"}).read(np.arange(min(data.n_rows, 1000)))


def read_deviations(path: Path) -> None:
    """Read a deviation table with what its schema knows."""
    schema = read_schema(path)
    table_metadata(schema)
    with TableReader(path) as reader:
        for column in columns_by_perturbation(schema).values():
            for repeat in reader.repeats:
                list(reader.repeat(column, repeat))
        list(reader.column("baseline"))


def read_summary(path: Path) -> None:
    """Read a summary; what reads it belongs to the part that knows MLflow, which takes seconds to load."""
    from nnperm_mlflow.evidence.summary_file import read_summary as read

    read(path)


NPY_TOKENS = tuple(
    text.encode()
    for text in ["'|O'", "'<f8'", "'|S5'", "'<U9'", "[('a','<f8')]", "(1,)*", "(1000000000000, 3, 4)", "(-1, 3, 4)",
                 "True", "(4, 3, 4)", "{", "}", "[" * 50, "'m8[s]'", "9" * 30, "'descr'", "\\", "\n ", "(0, 3, 4)"]
)  # fmt: skip
CSV_TOKENS = (b'"', b",", b"\n", b"\r", b"\x00", b"age", b"nan", b"1e999", b"9" * 40, b",,,", b"\xff", b"\xef\xbb\xbf")
YAML = tuple(text.encode() for text in YAML_TOKENS)
PARQUET_TOKENS = (b"PAR1", b"pandas", b'{"index_columns": 5}', b"ARROW:schema", b"\x15\xfe\xff\xff\xff\x0f")

READERS = {
    "config": Reader(".yaml", lambda: _texts("credit.yaml", "credit_in_depth.yaml", "students.yaml"), load_config,
                     (ConfigError,), YAML),
    "policy": Reader(".yaml", lambda: _texts("credit_policy.yaml"), load_policy, (ConfigError,), YAML),
    "npy": Reader(".npy", lambda: [_npy(array) for array in _arrays()], read_history, (AuditError,), NPY_TOKENS),
    "npz": Reader(".npz", _npz_seeds, read_history, (AuditError,), (b"PK\x03\x04", b"PK\x01\x02"), _zip_again),
    "csv": Reader(".csv", _csv_seeds, read_static, (AuditError,), CSV_TOKENS),
    "csv.gz": Reader(".csv.gz", _csv_seeds, read_static, (AuditError,), CSV_TOKENS, _pack),
    "parquet": Reader(".parquet", _parquet_seeds, partial(read_both_ways, broken=True), (AuditError,), PARQUET_TOKENS),
    "deviations": Reader(".parquet", _table_seeds, read_deviations, (AuditError,), PARQUET_TOKENS),
    "summary": Reader(".csv", _summary_seeds, read_summary, (AuditError,), CSV_TOKENS),
}  # fmt: skip


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"more than {MOST_SECONDS} s")


def run(name: str, count: int, seed: int, folder: Path) -> dict[str, object]:
    """Give a reader so many broken files; return how many it has read and refused, and what else it has raised."""
    reader, rng = READERS[name], np.random.default_rng(seed)
    seeds = reader.seeds()
    path = folder / f"input{reader.suffix}"
    for content in seeds:
        path.write_bytes(reader.wrap(content, np.random.default_rng(0)) if reader.suffix == ".csv.gz" else content)
        try:
            reader.read(path)  # a valid file is read
        except Exception as error:
            raise RuntimeError(f"{name}: seed {seeds.index(content)}") from error
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    signal.signal(signal.SIGALRM, _too_long)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"inputs": 0, "read": 0, "refused": 0, "failures": {}}
    for _ in range(count):
        content = seeds[rng.integers(len(seeds))]
        content = reader.wrap(broken(content, seeds, reader.tokens, rng), rng)
        path.write_bytes(content)
        signal.alarm(MOST_SECONDS)
        try:
            reader.read(path)
            found["read"] += 1
        except reader.refuses:
            found["refused"] += 1
        except Exception as error:  # this is what is looked for
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if "site-packages" not in frame.filename][-1]
            what = f"{type(error).__name__} at {Path(ours.filename).name}:{ours.lineno}"
            found["failures"].setdefault(what, [0, f"{error}"[:300], content.hex()[:20_000]])[0] += 1
        signal.alarm(0)
        found["inputs"] += 1
    found["new_bytes"] = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
