"""Truths of the method, told by plain functions whose answer is known before."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnperm_mlflow.analysis.perturbation.donors import SHUFFLE_BLOCK_ROWS, ShuffleBlock, donor_positions
from nnperm_mlflow.basics.errors import NonFinitePredictionError
from tests.support.plain import bound, deviations, run

N_STEPS, CHANNELS = 4, ["BILL", "PAY", "AMT"]
SHAPE = np.array([3.0, 1.0, -1.0, 0.5])
"""A series' own shape; its sum is not 0, so that a series can be told by its weighted sum."""


@dataclass
class Case:
    """A feature in one kind of place, and all that is needed to tell what disturbing it must give.

    Attributes
    ----------
    name : str
        Of the feature, or of the group.
    read : callable
        Gives of the model's inputs what the feature holds in each row, as one number, shape (n_rows,).
    settings : dict
        What the analysis must be told, so that the feature is there.
    """

    name: str
    read: callable
    settings: dict = field(default_factory=dict)

    @property
    def alone(self):
        """The settings with which little else is disturbed, which changes no number of the feature."""
        return {
            **self.settings,
            "exclude": [name for name in ("age", "dose", "SEX", *CHANNELS) if name not in self.name],
        }


def read_number(inputs):
    return inputs["num_input"][:, 1]


def read_code(inputs):
    return inputs["SEX_input"][:, 0].astype(np.float64)


def read_series(inputs):
    return inputs["temporal_input"][:, :, 1] @ SHAPE


def read_window(inputs):
    return inputs["temporal_input"][:, 2:, 1] @ SHAPE[2:]


def read_number_and_series(inputs):
    """Return one number for the pair: 0 for (0, 0), 1 for (1, 0), 2 for (1, 1) with the series times its shape."""
    return inputs["num_input"][:, 1] + inputs["temporal_input"][:, :, 1] @ SHAPE


CASES = {
    "number": Case("dose", read_number),
    "code": Case("SEX", read_code),
    "series": Case("PAY", read_series),
    "window": Case("PAY late", read_window, {"windows": {"late": [3, 4]}}),
    "group": Case("dose and PAY", read_number_and_series, {"groups": {"dose and PAY": ["dose", "PAY"]}}),
}
EVERY_PLACE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
ONE_FEATURE = pytest.mark.parametrize(
    "case", [case for kind, case in CASES.items() if kind != "group"], ids=lambda c: c.name
)


def people(n_rows, levels=None, is_split=False):
    """Make up a table and a history that fill all kinds of places.

    `levels` (n_rows,) of 0, 1, 2 are what `dose`, `SEX` and `PAY` hold, or with `is_split` what `dose` and `PAY` tell
    together; without them each feature has values of its own.
    """
    generator = np.random.default_rng(0)
    dose, sex, pay = generator.normal(size=n_rows), generator.integers(0, 4, n_rows), generator.normal(size=n_rows)
    if levels is not None:
        dose, sex, pay = levels.astype(float), levels, levels.astype(float)
    if is_split:
        dose, pay = np.minimum(dose, 1), np.maximum(pay - 1, 0)
    history = generator.normal(size=(n_rows, N_STEPS, len(CHANNELS)))
    history[:, :, 1] = pay[:, None] * SHAPE + (history[:, :, 1] if levels is None else 0)
    table = pd.DataFrame({"age": generator.normal(size=n_rows), "dose": dose, "SEX": sex})
    return table, history


def bind(table, history, numbers=("age", "dose")):
    return bound(table, history, list(numbers), ["SEX"], CHANNELS)


def all_rows(bindings):
    inputs = bindings[1]
    return inputs.read(np.arange(inputs.n_rows))


def bits(array):
    return np.asarray(array).view(np.uint32)


def assert_same_bits(found, expected):
    np.testing.assert_array_equal(bits(found), bits(expected))


def everything(inputs):
    """Predict from all inputs, each row by itself; no two features do the same, and nothing is rounded to a tie."""
    static = 5 * inputs["num_input"][:, 1] + inputs["num_input"][:, 0] - 0.7 * inputs["SEX_input"][:, 0]
    steps = inputs["temporal_input"]
    temporal = sum(0.1 * (channel + 1) * steps[:, step, channel] for step in range(N_STEPS) for channel in range(3))
    return np.tanh(0.1 * (static + temporal)) + 0.01 * static * temporal


# Truth 1


@EVERY_PLACE
def test_a_linear_feature_deviates_by_the_mean_over_all_pairs_of_rows(case):
    """Shuffles that never leave a value in its place would give 9 % more: the standard error is far below that."""
    slope, n_rows, repeats = -3.0, 12, 2500
    bindings = bind(*people(n_rows))
    held = case.read(all_rows(bindings))
    found = deviations(lambda inputs: slope * case.read(inputs), bindings, repeats=repeats, **case.alone)
    by_repeat = found[case.name].reshape(repeats, n_rows).astype(np.float64)
    for power, expected in [
        (1, abs(slope) * np.abs(held[:, None] - held).mean()),
        (2, 2 * slope**2 * held.var()),
    ]:
        means = (by_repeat**power).mean(axis=1)
        standard_error = means.std() / np.sqrt(repeats)
        assert standard_error < 0.015 * expected
        assert abs(means.mean() - expected) < 3 * standard_error


def test_a_binary_feature_times_three_deviates_by_0_or_3():
    table = pd.DataFrame({"age": [0, 1] * 10, "dose": range(20)})
    found = deviations(lambda inputs: 3.0 * inputs["num_input"][:, 0], bound(table, numbers=["age", "dose"]))
    assert set(found["age"].tolist()) == {0.0, 3.0}
    assert set(found["dose"].tolist()) == {0.0}


# Truth 2


@EVERY_PLACE
@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.9, 0.1), (0.8, 0.15, 0.05)])
def test_a_shuffle_changes_as_many_rows_as_differ_among_pairs(case, shares):
    """2p(1-p) of a binary column, 1 - sum p_k^2 of a category; less than half, so that the median deviation is 0."""
    n_rows, repeats = 400, 200
    levels = np.repeat(np.arange(len(shares)), (np.array(shares) * n_rows).round().astype(int))
    bindings = bind(*people(n_rows, levels, is_split=case is CASES["group"]))
    found, moved, _, _ = run(case.read, bindings, repeats=repeats, **case.alone)
    changed = moved[case.name].reshape(repeats, n_rows).mean(axis=1)
    expected = 1 - np.sum(np.square(shares))
    assert abs(changed.mean() - expected) < 3 * changed.std() / np.sqrt(repeats) < 0.01
    assert np.median(found[case.name]) == 0
    np.testing.assert_array_equal(found[case.name] > 0, moved[case.name])


# Truth 3


@ONE_FEATURE
@pytest.mark.parametrize("value", [0, 1, 2.0, -7])
def test_setting_a_feature_gives_exactly_the_difference_of_two_predictions(case, value):
    table, history = people(50, np.arange(50) % 3)
    bindings = bind(table, history)
    found, moved, _, _ = run(everything, bindings, repeats=2, seed=9, set={case.name: [value]}, **case.settings)
    before = all_rows(bindings)
    after = {name: array.copy() for name, array in before.items()}
    pay = after["temporal_input"][:, :, 1]
    place = {"dose": after["num_input"][:, 1], "SEX": after["SEX_input"], "PAY": pay, "PAY late": pay[:, 2:]}
    held = place[case.name].copy()
    place[case.name][...] = value
    name = f"{case.name}={int(value)}"
    expected = np.abs(everything(after) - everything(before)).astype(np.float32)
    assert_same_bits(found[name], np.tile(expected, 2))
    was_other = (held != value).reshape(50, -1).any(axis=1)
    np.testing.assert_array_equal(moved[name], np.tile(was_other, 2))
    assert not found[name][~moved[name]].any()
    assert found[name].any()


@pytest.mark.parametrize("place", ["number", "code"])
def test_a_rare_value_is_set_by_itself_and_shows_its_full_effect(place):
    """The shuffle's median hides it: one row in a hundred is a cheater."""
    table = pd.DataFrame({"age": np.linspace(20, 60, 1000), "cheater": np.arange(1000) % 100 == 7})
    table["cheater"] = table["cheater"].astype(int)
    if place == "number":
        bindings, read = bound(table, numbers=["age", "cheater"]), lambda inputs: inputs["num_input"][:, 1]
    else:
        bindings, read = bound(table, numbers=["age"], codes=["cheater"]), lambda inputs: inputs["cheater_input"][:, 0]
    found, moved, _, _ = run(lambda inputs: 0.25 * read(inputs), bindings, rare_below=0.05)
    assert list(found) == ["age", "cheater", "cheater=1"]
    assert np.median(found["cheater"]) == 0
    assert np.median(found["cheater=1"]) == 0.25
    assert moved["cheater=1"].mean() == 0.99


@pytest.mark.parametrize(
    ("ones", "rare_below", "set_to"),
    [
        (4, 0.05, ["x=1"]),
        (5, 0.05, []),
        (96, 0.05, ["x=0"]),
        (4, 0.04, []),
        (4, 0, []),
        (30, 0.5, ["x=1"]),
        (0, 1.0, []),
    ],
)
def test_values_are_rare_below_the_configured_share_of_rows(ones, rare_below, set_to):
    table = pd.DataFrame({"x": np.arange(100) < ones, "y": np.arange(100.0)}).astype(float)
    found = deviations(
        lambda inputs: inputs["num_input"][:, 0], bound(table, numbers=["x", "y"]), rare_below=rare_below
    )
    assert list(found) == ["x", *set_to, "y"]


# Truth 4

CANCELLING = {
    "two numbers": (["age", "dose"], lambda inputs: inputs["num_input"][:, 0] + inputs["num_input"][:, 1]),
    "number and code": (["age", "SEX"], lambda inputs: inputs["num_input"][:, 0] + inputs["SEX_input"][:, 0]),
    "number and series": (
        ["age", "PAY"],
        lambda inputs: inputs["num_input"][:, 0] + inputs["temporal_input"][:, 2, 1],
    ),
    "two series": (
        ["BILL", "PAY"],
        lambda inputs: inputs["temporal_input"][:, 2, 0] + inputs["temporal_input"][:, 2, 1],
    ),
}


@pytest.mark.parametrize(("members", "function"), CANCELLING.values(), ids=CANCELLING)
def test_features_that_cancel_do_so_as_a_group_and_not_apart(members, function):
    table, history = people(200)
    age = np.arange(200.0) % 17
    table = table.assign(age=age, dose=-age, SEX=-age.astype(int))
    history[:, :, 0], history[:, :, 1] = age[:, None], -age[:, None]
    found, moved, _, _ = run(function, bind(table, history), block_rows=33, repeats=3, groups={"both": members})
    assert not found["both"].any()
    assert moved["both"].mean() > 0.9
    for member in members:
        assert np.median(found[member]) > 1


# Truth 5


@EVERY_PLACE
def test_a_feature_that_the_model_does_not_use_deviates_by_exactly_0(case):
    def unconcerned(inputs):
        return np.tanh(0.3 * inputs["num_input"][:, 0] + inputs["temporal_input"][:, :, 2].sum(axis=1))

    found, moved, _, _ = run(unconcerned, bind(*people(150)), block_rows=40, repeats=3, **case.settings)
    assert not found[case.name].any()
    assert moved[case.name].mean() > 0.5
    assert np.median(found["age"]) > 0.01
    assert np.median(found["AMT"]) > 0.01


@EVERY_PLACE
def test_a_constant_feature_deviates_by_exactly_0(case):
    found, moved, _, _ = run(everything, bind(*people(150, np.ones(150, dtype=int))), block_rows=40, **case.settings)
    assert not found[case.name].any()
    assert not moved[case.name].any()
    assert found["age"].any()


@EVERY_PLACE
def test_a_single_row_deviates_by_exactly_0(case):
    found, moved, _, _ = run(everything, bind(*people(1)), repeats=3, **case.settings)
    assert found[case.name].tolist() == [0, 0, 0]
    assert not moved[case.name].any()


# Truth 6


def test_every_disturbed_series_is_one_of_the_original_series():
    """One donor for all steps, and the other channels stay with their rows."""
    table, history = people(60)
    before = {tuple(series) for series in history[:, :, 1]}
    _, _, predictor, perturbations = run(everything, bind(table, history))
    position = [perturbation.name for perturbation in perturbations].index("PAY")
    after = predictor.seen[1 + position]["temporal_input"]
    assert {tuple(series) for series in after[:, :, 1]} == before
    assert (after[:, :, 1] != history[:, :, 1]).any(axis=1).mean() > 0.8
    np.testing.assert_array_equal(after[:, :, [0, 2]], history[:, :, [0, 2]])


def test_a_shape_common_to_all_series_survives_and_flattening_would_destroy_it():
    """All series rise by 3 from first to last step, each from its own level."""

    def rise(inputs):
        return inputs["temporal_input"][:, -1, 1] - inputs["temporal_input"][:, 0, 1]

    table, history = people(100)
    history[:, :, 1] = np.arange(100.0)[:, None] + np.arange(N_STEPS)
    found, moved, _, _ = run(rise, bind(table, history))
    flattened = history.copy()
    flattened[:, :, 1] = np.random.default_rng(0).permutation(history[:, :, 1].ravel()).reshape(100, N_STEPS)
    assert not found["PAY"].any()
    assert moved["PAY"].mean() > 0.9
    assert np.median(np.abs(rise({"temporal_input": flattened}) - 3)) > 10


# Truth 8


def test_a_model_blind_to_all_features_deviates_by_exactly_0_on_a_read_only_file(tmp_path):
    """Beside it stands one that sees, on the same file."""
    table, history = people(90)
    np.save(tmp_path / "history.npy", history)
    stored = np.load(tmp_path / "history.npy", mmap_mode="r")
    assert isinstance(stored, np.memmap)
    assert not stored.flags.writeable
    wanted = {"set": {"dose": [4]}, "groups": {"both": ["dose", "PAY"]}}
    blind = deviations(lambda inputs: np.full(len(inputs["num_input"]), 0.3), bind(table, stored), 40, **wanted)
    seeing = deviations(everything, bind(table, stored), 40, **wanted)
    assert set(blind) == {"age", "dose", "dose=4", "SEX", "BILL", "PAY", "AMT", "both"}
    for name, found in blind.items():
        assert not found.any()
        assert np.median(seeing[name]) > 0
    for name, found in deviations(everything, bind(table, history), 40, **wanted).items():
        assert_same_bits(seeing[name], found)


# Truth 9


def by_name(order):
    """Return a function of numbers `a`, `b`, `c`, `d`, which it finds by name wherever they stand."""

    def function(inputs):
        a, b, c, d = (inputs["num_input"][:, order.index(name)] for name in "abcd")
        return 5 * a + np.sin(b) * c - 0.1 * d

    return function


def numbers_table(n_rows, seed=1):
    generator = np.random.default_rng(seed)
    return pd.DataFrame({name: generator.normal(size=n_rows) for name in "abcd"})


def found_for(n_rows=60, order="abcd", block_rows=1000, **analysis):
    order = list(order)
    return deviations(by_name(order), bound(numbers_table(n_rows), numbers=order), block_rows, **analysis)


def assert_same_deviations(found, expected):
    for name, values in found.items():
        assert_same_bits(values, expected[name])


def test_deviations_do_not_depend_on_the_order_of_features():
    expected = found_for(repeats=2)
    assert all(values.any() for values in expected.values())
    for order in ("dcba", "badc", "cdab"):
        assert_same_deviations(found_for(order=order, repeats=2), expected)


@pytest.mark.parametrize("block_rows", [1, 7, 59, 60, 61, 65_536])
def test_deviations_do_not_depend_on_the_size_of_blocks(block_rows):
    bindings, wanted = bind(*people(60)), {"repeats": 2, "groups": {"both": ["dose", "PAY"]}, "set": {"SEX": [3]}}
    found = deviations(everything, bindings, block_rows, **wanted)
    assert len(found) == 8
    assert_same_deviations(found, deviations(everything, bindings, 1000, **wanted))


@pytest.mark.parametrize("exclude", [["a"], ["d"], ["b", "c"], ["a", "b", "d"]])
def test_deviations_do_not_depend_on_what_else_is_audited(exclude):
    found = found_for(exclude=exclude)
    assert sorted(found) == sorted(set("abcd") - set(exclude))
    assert_same_deviations(found, found_for(groups={"all": list("abcd")}, set={"a": [1.5]}, repeats=1))


def test_one_repeat_more_leaves_the_others_as_they_were():
    two, three = found_for(repeats=2), found_for(repeats=3)
    assert_same_deviations({name: values[:120] for name, values in three.items()}, two)
    for values in three.values():
        assert len({repeat.tobytes() for repeat in values.reshape(3, 60)}) == 3


def test_another_seed_changes_values_and_not_the_winner():
    runs = [found_for(n_rows=200, seed=seed) for seed in range(8)]
    for name in "abcd":
        assert len({found[name].tobytes() for found in runs}) == len(runs)
    assert {max(found, key=lambda name: np.median(found[name])) for found in runs} == {"a"}


def test_each_feature_has_a_permutation_of_its_own():
    """Two columns that hold and do the same still deviate apart: in most rows they have other donors."""
    table = numbers_table(200)
    table["b"] = table["a"]
    found = deviations(lambda inputs: inputs["num_input"].sum(axis=1), bound(table, numbers=["a", "b"]))
    assert (found["a"] != found["b"]).mean() > 0.95


@EVERY_PLACE
@pytest.mark.parametrize("block_rows", [7, 1000])
def test_each_row_deviates_as_with_the_value_of_its_donor(case, block_rows):
    """The donor is a matter of seed, name and repeat: rows, repeats and blocks each stand where they belong."""
    bindings = bind(*people(50))
    found = deviations(case.read, bindings, block_rows, repeats=3, seed=5, **case.settings)
    held, everyone = case.read(all_rows(bindings)), ShuffleBlock(0, np.arange(50))
    donors = [donor_positions(everyone, 5, case.name, repeat) for repeat in range(3)]
    expected = np.concatenate([np.abs(held[donor] - held) for donor in donors])
    np.testing.assert_allclose(found[case.name], expected, rtol=1e-6, atol=1e-12)


@given(
    n_rows=st.integers(1, 40),
    block_rows=st.integers(1, 50),
    order=st.permutations("abcd"),
    exclude=st.lists(st.sampled_from("abcd"), max_size=3, unique=True),
    seed=st.integers(0, 2**63 - 1),
    repeats=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_whatever_the_sizes_and_orders_deviations_are_the_same(*, n_rows, block_rows, order, exclude, seed, repeats):
    found = found_for(n_rows, order, block_rows, exclude=exclude, seed=seed, repeats=repeats)
    assert [len(values) for values in found.values()] == [n_rows * repeats] * (4 - len(exclude))
    assert_same_deviations(found, found_for(n_rows, seed=seed, repeats=repeats))


# Truth 10

PLACES = {
    "age": {"num_input": np.s_[:, [0]]},
    "dose": {"num_input": np.s_[:, [1]]},
    "dose=8": {"num_input": np.s_[:, [1]]},
    "SEX": {"SEX_input": np.s_[:]},
    "BILL": {"temporal_input": np.s_[:, :, 0]},
    "PAY": {"temporal_input": np.s_[:, :, 1]},
    "AMT": {"temporal_input": np.s_[:, :, 2]},
    "both": {"num_input": np.s_[:, [1]], "temporal_input": np.s_[:, :, 1]},
}
DISTURBED_THUS = {"groups": {"both": ["dose", "PAY"]}, "set": {"dose": [8]}}


def calls_by_perturbation(predictor, names):
    """Return the calls of each block of rows: its baseline, and for each perturbation what the model was given."""
    per_block = 1 + len(names)
    assert len(predictor.seen) % per_block == 0
    starts = range(0, len(predictor.seen), per_block)
    return [
        (predictor.seen[start], dict(zip(names, predictor.seen[start + 1 : start + per_block], strict=True)))
        for start in starts
    ]


def held_in(inputs, name):
    """Return what a feature's places hold, of shape (n_rows, n_cells)."""
    cells = [inputs[place][index] for place, index in PLACES[name].items()]
    return np.concatenate([cell.reshape(len(cell), -1) for cell in cells], axis=1)


def sorted_rows(cells):
    return cells[np.lexsort(cells.T)]


@pytest.mark.parametrize("block_rows", [1000, 16])
def test_the_model_sees_one_disturbed_feature_at_a_time(block_rows):
    """Each call is the baseline but for one feature's places, in which other values stand, of the same type."""
    _, _, predictor, perturbations = run(everything, bind(*people(60)), block_rows, **DISTURBED_THUS)
    names = [perturbation.name for perturbation in perturbations]
    assert set(names) == set(PLACES)
    for baseline, disturbed in calls_by_perturbation(predictor, names):
        for name, seen in disturbed.items():
            assert list(seen) == list(baseline)
            for place, array in seen.items():
                assert (array.shape, array.dtype) == (baseline[place].shape, baseline[place].dtype)
                outside = np.ones(array.shape, dtype=bool)
                if place in PLACES[name]:
                    outside[PLACES[name][place]] = False
                    assert (array[PLACES[name][place]] != baseline[place][PLACES[name][place]]).any()
                np.testing.assert_array_equal(array[outside], baseline[place][outside])


@pytest.mark.parametrize("block_rows", [1000, 16])
def test_a_shuffled_feature_holds_the_same_values_over_all_rows(block_rows):
    """Nothing is drawn twice, nothing is lost, and what a group holds in one row stays together."""
    bindings = bind(*people(60))
    _, _, predictor, perturbations = run(everything, bindings, block_rows, **DISTURBED_THUS)
    names = [perturbation.name for perturbation in perturbations]
    blocks = calls_by_perturbation(predictor, names)
    for name in PLACES:
        before = held_in(all_rows(bindings), name)
        after = np.concatenate([held_in(disturbed[name], name) for _, disturbed in blocks])
        if name == "dose=8":
            assert set(after.ravel()) == {8.0}
        else:
            np.testing.assert_array_equal(sorted_rows(after), sorted_rows(before))


def test_the_baseline_is_the_data_as_they_are():
    bindings = bind(*people(60))
    _, _, predictor, perturbations = run(everything, bindings, 16, **DISTURBED_THUS)
    blocks = calls_by_perturbation(predictor, [perturbation.name for perturbation in perturbations])
    for place, array in all_rows(bindings).items():
        np.testing.assert_array_equal(np.concatenate([baseline[place] for baseline, _ in blocks]), array)


@pytest.mark.parametrize("fails_at_call", [None, 1, 4, 9])
def test_the_callers_data_are_never_modified(fails_at_call):
    """Nor when the model breaks off in the middle, or writes into what it is given."""
    table, history = people(60)
    kept_table, kept_history = table.copy(deep=True), history.copy()
    n_calls = 0

    def scribble(inputs):
        nonlocal n_calls
        n_calls += 1
        if n_calls == fails_at_call:
            raise RuntimeError("out of memory")
        prediction = everything(inputs)
        for array in inputs.values():
            array[...] = -1
        return prediction

    if fails_at_call is None:
        run(scribble, bind(table, history), **DISTURBED_THUS)
    else:
        with pytest.raises(RuntimeError, match="out of memory"):
            run(scribble, bind(table, history), **DISTURBED_THUS)
    assert n_calls == (fails_at_call or 1 + len(PLACES))
    pd.testing.assert_frame_equal(table, kept_table, check_exact=True)
    np.testing.assert_array_equal(history, kept_history)


# Truths 9 and 10 beyond one shuffle block


@pytest.fixture(scope="module")
def many():
    """Runs of 70,000 rows, more than a shuffle block holds, with small and with large blocks of rows."""
    table = pd.DataFrame({"a": np.arange(70_000.0), "b": np.random.default_rng(4).normal(size=70_000)})

    def function(inputs):
        return inputs["num_input"][:, 0] * 1e-4 + inputs["num_input"][:, 1]

    return {
        block_rows: run(function, bound(table, numbers=["a", "b"]), block_rows, seed=2)
        for block_rows in (999, 20_000, SHUFFLE_BLOCK_ROWS)
    }, table


def test_beyond_a_shuffle_block_deviations_do_not_depend_on_the_size_of_blocks(many):
    runs, _ = many
    expected = runs[SHUFFLE_BLOCK_ROWS][0]
    assert all(np.median(values) > 0.5 for values in expected.values())
    for found, _, _, _ in runs.values():
        assert_same_deviations(found, expected)


def test_beyond_a_shuffle_block_every_column_is_exactly_permuted(many):
    runs, table = many
    for _, _, predictor, _ in runs.values():
        blocks = calls_by_perturbation(predictor, ["a", "b"])
        for position, name in enumerate("ab"):
            other = 1 - position
            cells = np.concatenate([disturbed[name]["num_input"] for _, disturbed in blocks])
            baseline = np.concatenate([before["num_input"] for before, _ in blocks])
            np.testing.assert_array_equal(np.sort(cells[:, position]), np.sort(table[name]))
            np.testing.assert_array_equal(cells[:, other], baseline[:, other])
            assert (cells[:, position] != baseline[:, position]).mean() > 0.999


def test_beyond_a_shuffle_block_donors_come_from_all_over_the_table(many):
    """Rows of the first thousandth get values from far away: a tenth of them from each tenth of the rows."""
    runs, _ = many
    blocks = calls_by_perturbation(runs[999][2], ["a", "b"])
    received = np.concatenate([disturbed["a"]["num_input"][:, 0] for _, disturbed in blocks])
    before = np.concatenate([baseline["num_input"][:, 0] for baseline, _ in blocks])
    counts = np.histogram(received[before < 7000], bins=10, range=(0, 70_000))[0]
    assert (np.abs(counts - 700) < 4 * np.sqrt(700)).all()


# Predictions that are no numbers

SECRET = 4815.0
"""Where it stands in the data, and twice it: numbers that no message may tell."""


def twins(n_rows=40):
    """Make up two equal columns of numbers that are easily found in a message."""
    values = SECRET * (1 + np.arange(n_rows) % 2)
    return bound(pd.DataFrame({"dose": values, "twin": values}), numbers=["dose", "twin"])


def test_nan_names_the_feature_the_count_and_the_first_row_and_no_values():
    def fails_beside_its_twin(inputs):
        dose, twin = inputs["num_input"].T
        return np.where((dose != twin) & (twin > SECRET), np.nan, 0.5)

    _, moved, _, _ = run(lambda inputs: inputs["num_input"][:, 0], twins(), seed=3)
    bad = moved["dose"] & (np.arange(40) % 2 == 1)
    count, first = np.count_nonzero(bad), np.flatnonzero(bad)[0]
    assert (count, first) != (40, 0)
    with pytest.raises(NonFinitePredictionError) as caught:
        run(fails_beside_its_twin, twins(), seed=3)
    message = str(caught.value)
    assert "'dose' was shuffled" in message
    assert f"for {count} of 40 rows" in message
    assert f"first: row {first})" in message
    assert "4815" not in message
    assert "9630" not in message


def test_the_first_bad_row_is_told_by_its_position_in_the_data_and_not_in_its_block():
    def fails(inputs):
        return np.where((inputs["num_input"] == 33).all(axis=1), np.inf, 0.0)

    bindings = bound(pd.DataFrame({"dose": np.arange(40.0), "age": np.arange(40.0)}), numbers=["dose", "age"])
    with pytest.raises(NonFinitePredictionError, match=r"1 of 10 rows before anything was disturbed \(first: row 33\)"):
        run(fails, bindings, block_rows=10)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_set_value_that_breaks_the_model_is_named(bad):
    bindings = bound(pd.DataFrame({"dose": np.arange(6.0), "age": np.arange(6.0)}), numbers=["dose", "age"])
    with pytest.raises(NonFinitePredictionError, match=r"6 of 6 rows once 'age' was set to 99 \(first: row 0\)"):
        run(lambda inputs: np.where(inputs["num_input"][:, 1] == 99, bad, 0.0), bindings, set={"age": [99]})


def test_rounding_of_another_batch_is_no_deviation_and_more_than_that_stays_one():
    """A matrix product may round a row otherwise in a larger batch; the rows below are as they were."""
    table = pd.DataFrame({"a": [0.0, 1.0] * 20, "b": np.arange(40.0)})
    calls = iter([0.0, *[1e-7] * 2, 0.0, *[1e-3] * 2])
    bindings = bound(table, numbers=["a", "b"])
    slightly = deviations(lambda given: np.ones((40, 1), np.float32) + np.float32(next(calls)), bindings)
    assert (slightly["a"][run(lambda given: given["num_input"][:, :1], bindings)[1]["a"] == 0] == 0).all()
    clearly = deviations(lambda given: np.ones((40, 1), np.float32) + np.float32(next(calls)), bindings)
    assert (clearly["a"] > 0).all()
