"""Whatever a file holds, it is read or refused in words: broken ones by the thousand, and odd ones that are whole."""

import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnperm_mlflow.basics.errors import AuditError, ConfigError
from nnperm_mlflow.config.audit_config import AnalysisConfig, AuditConfig, load_config
from nnperm_mlflow.config.data_config import DataConfig, TemporalConfig
from nnperm_mlflow.config.policy import Policy, load_policy
from tests.support import fuzzing
from tests.support.simulations import in_full

BROKEN = {
    "config": 1500, "policy": 500, "npy": 1500, "npz": 1500, "csv": 1000, "csv.gz": 400, "parquet": 2000,
    "deviations": 600, "summary": 2_000,
}  # fmt: skip
"""How many broken files each reader is given, where simulations are whole; else a quarter of them."""
ODD = {"yaml": 600, "npy": 600, "csv": 400, "parquet": 300}
"""How many whole ones that are odd."""


def test_there_are_ten_thousand_inputs():
    assert sum(BROKEN.values()) + sum(ODD.values()) >= 10_000
    assert set(BROKEN) == set(fuzzing.READERS)


@pytest.mark.slow
@pytest.mark.parametrize("reader", BROKEN)
def test_a_broken_file_is_read_or_refused_in_words(reader, tmp_path):
    """A process of its own reads them, so that one that brings it down is known, and its memory can be bounded."""
    n_inputs = BROKEN[reader] // in_full(1, 4)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.support.fuzzing",
        reader,
        str(n_inputs),
        "1",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    (last,) = [file.read_bytes() for file in tmp_path.iterdir()]
    assert done.returncode == 0, f"{done.stderr}\nended with {done.returncode}; the last input was {last.hex()}"
    found = json.loads(done.stdout)
    assert found["failures"] == {}
    assert found["inputs"] == found["read"] + found["refused"] == n_inputs
    assert min(found["read"], found["refused"]) > in_full(20, 5), "the changes are too coarse, or too fine"
    assert found["new_bytes"] < fuzzing.MOST_NEW_BYTES


def fuzz(count):
    """Run a test on exactly so many examples, the same ones each time."""
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("odd")


KEYS = sorted({
    *AuditConfig.model_fields, *AnalysisConfig.model_fields, *DataConfig.model_fields, *TemporalConfig.model_fields,
    *Policy.model_fields, "feature", "any", "max", "min", "against", "rank_at_most", "unused_at_most", "max_shift",
    "min_rank_correlation", "statistic", "name",
})  # fmt: skip
NUMBERS = st.one_of(st.integers(), st.integers(-(10**40), 10**40), st.floats(), st.sampled_from([0, 1, 2, 0.5, 2**63]))
LEAVES = st.one_of(
    st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.dates(), st.datetimes(), st.binary(max_size=4),
    st.sampled_from(["auto", "all", "argmax", "skip", "SEX*", "a.csv", "https://me:pw@house/a.csv?t=1", "~x/a.npy"]),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=2).map(lambda held: held * 2),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=4), st.integers()), inner, max_size=4),
    ),
    max_leaves=12,
)


NAMED = st.dictionaries(st.sampled_from(["age", "PAY", "x"]), TREES, max_size=2)
ANALYSIS = st.dictionaries(
    st.sampled_from(sorted(AnalysisConfig.model_fields)),
    st.one_of(st.sampled_from([1, 2, 0.5, True, ["age"]]), NAMED, LEAVES),
    max_size=2,
)
CHECK = {"feature": st.sampled_from(["a", ["a", "b"]]), "max": NUMBERS}
CHECKS = st.lists(st.fixed_dictionaries(CHECK, optional={"way": LEAVES}), max_size=2)
DOCUMENTS = st.one_of(
    st.fixed_dictionaries({}, optional={"checks": CHECKS, "mode": st.sampled_from(["off", "dry_run", "of"])}),
    st.fixed_dictionaries({}, optional={"analysis": ANALYSIS, "inputs": NAMED, "model": LEAVES, "checks": CHECKS}),
    TREES,
)


def test_any_tree_is_a_configuration_and_a_policy_or_is_none(folder):
    count = Counter()

    @fuzz(ODD["yaml"])
    @given(DOCUMENTS)
    def read(tree):
        path = folder / "odd.yaml"
        path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
        count["inputs"] += 1
        for load in (load_config, load_policy):
            try:
                assert load(path).digest()
                count["read"] += 1
            except ConfigError as error:
                count["too long"] += len(str(error)) > 20_000

    read()
    assert count["inputs"] >= ODD["yaml"]
    assert count["read"] > 20
    assert count["too long"] == 0


DESCRIPTIONS = st.one_of(
    st.sampled_from(
        ["<f8", "<f4", ">f8", "<f2", "<i8", "|u1", "|b1", "<c16", "|O", "<U5", "|S0", "|V8", "<m8[s]", "<M8[D]", "",
         "f8,f8", "(3,)f8", "<f16", "|S1000000000", "<U9999999999", "object", "int", "<f8 ", "a"]
    ),
    st.lists(st.tuples(st.text(max_size=3), st.sampled_from(["<f8", "|O", "<i4"])), max_size=3),
    st.tuples(st.sampled_from(["<f8", "|O"]), st.sampled_from([(2,), (0,), (-1,), 3])),
    LEAVES,
)  # fmt: skip
LENGTHS = st.one_of(st.integers(0, 5), st.sampled_from([-1, 10**12, 2**31, 2**61, 2**62, 2**64, True, 10**30]), LEAVES)
SHAPES = st.one_of(
    st.lists(LENGTHS, max_size=4).map(tuple), st.lists(st.integers(0, 4), min_size=3, max_size=3).map(tuple), LEAVES
)


def npy(descr, shape, order, version, payload):
    """Return an .npy file with a header that may lie."""
    header = repr({"descr": descr, "fortran_order": order, "shape": shape}).encode("utf-8", "replace") + b"\n"
    size = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + payload


def test_any_header_is_that_of_an_array_of_numbers_or_is_refused(folder):
    count = Counter()
    orders = st.one_of(st.booleans(), LEAVES)

    @fuzz(ODD["npy"])
    @given(st.tuples(DESCRIPTIONS, SHAPES, orders, st.sampled_from([1, 2, 3, 9])), st.integers(0, 600), st.booleans())
    def read(header, n_bytes, packed):
        content = npy(*header, bytes(range(256)) * 3)[: 200 + n_bytes]
        path = folder / ("odd.npz" if packed else "odd.npy")
        path.write_bytes(fuzzing.zipped(content, 8) if packed else content)
        count["inputs"] += 1
        try:
            fuzzing.read_history(path)
            count["read"] += 1
        except AuditError:
            count["refused"] += 1

    read()
    assert count["inputs"] >= ODD["npy"]
    assert count["refused"] > 20


CELLS = st.one_of(
    NUMBERS.map(repr),
    st.text(max_size=6),
    st.sampled_from(["", '"', '""', '"a,b"', '"\n"', "nan", "1e999", "0x1F", "True", "2024-01-01", "\0", "\ufeff"]),
    st.just("9" * 400),
)

LINES = st.lists(CELLS, min_size=1, max_size=4)


def test_any_lines_are_a_table_or_are_none(folder):
    count = Counter()

    @fuzz(ODD["csv"])
    @given(
        st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n", "\r"])
    )
    def read(rows, end):
        path = folder / "odd.csv"
        path.write_bytes(end.join(",".join(row) for row in rows).encode("utf-8", "surrogatepass"))
        count["inputs"] += 1
        try:
            fuzzing.read_static(path)
            count["read"] += 1
        except AuditError:
            count["refused"] += 1

    read()
    assert count["inputs"] >= ODD["csv"]
    assert min(count["read"], count["refused"]) > 20


TICKS, SECONDS = st.integers(-(2**62), 2**62), st.integers(-(2**52), 2**52)
PLAIN = [
    (pa.int8(), st.integers(-128, 127)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float16(), st.floats(width=16).map(np.float16)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text(max_size=4)),
    (pa.large_string(), st.text(max_size=4)),
    (pa.binary(), st.binary(max_size=4)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.date32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.timestamp("ns"), TICKS),
    (pa.timestamp("us", "UTC"), TICKS),
    (pa.timestamp("s"), SECONDS),
    (pa.time64("us"), st.integers(0, 86_399_999_999)),
    (pa.duration("s"), SECONDS),
    (pa.decimal128(25, 3), st.decimals(-(10**9), 10**9, places=3)),
    (pa.null(), st.none()),
]
"""Types of columns, with their values; these may lie outside of what Python or pandas can name."""
CODED = (pa.int64(), pa.float64(), pa.string(), pa.timestamp("s"))
"""Types that may stand in a dictionary."""


def columns(kind, values):
    """Arrays of up to four rows: plain, as codes of a dictionary, in lists and in structs."""
    rows = st.lists(st.none() | values, max_size=4).map(lambda held: pa.array(held, kind))
    inside = rows.map(lambda array: pa.ListArray.from_arrays(range(len(array) + 1), array))
    named = rows.map(lambda array: pa.StructArray.from_arrays([array], ["a"]))
    return st.one_of(rows, inside, named, *([rows.map(pa.Array.dictionary_encode)] if kind in CODED else []))


COLUMNS = st.one_of(*[columns(kind, values) for kind, values in PLAIN])
NAMES = st.one_of(
    st.text(max_size=5), st.sampled_from(["age", "a.b", "a", "", "a\0", "__index_level_0__", "row", "baseline"])
)
HOSTILE = st.sampled_from(
    [b"", b"{", b"[]", b"5", b'{"index_columns": 5}', b'{"index_columns": [5, null, "age"]}', b"[" * 100_000,
     b'{"columns": [{"name": "age"}]}', b'{"index_columns": [], "columns": [{"name": "age", "numpy_type": "object"}]}',
     b'{"index_columns": ["age"], "column_indexes": [{"name": null}], "columns": 3, "pandas_version": "x"}', b"\xff"]
)  # fmt: skip


@st.composite
def arrow_tables(draw):
    arrays = draw(st.lists(COLUMNS, min_size=1, max_size=4))
    n_rows = min(map(len, arrays))
    names = draw(st.lists(NAMES, min_size=len(arrays), max_size=len(arrays)))
    table = pa.Table.from_arrays([array[:n_rows] for array in arrays], names)
    return table.replace_schema_metadata({b"pandas": draw(HOSTILE)}) if draw(st.booleans()) else table


def test_a_parquet_file_of_any_types_and_names_is_the_same_table_in_memory_and_on_disk_or_is_none(folder):
    count = Counter()

    @fuzz(ODD["parquet"])
    @given(arrow_tables())
    def read(table):
        path = folder / "odd.parquet"
        stream = io.BytesIO()
        pq.write_table(table, stream)
        path.write_bytes(stream.getvalue())
        count["inputs"] += 1
        try:
            fuzzing.read_both_ways(path)
            count["read"] += 1
        except AuditError:
            count["refused"] += 1

    read()
    assert count["inputs"] >= ODD["parquet"]
    assert min(count["read"], count["refused"]) > 20
