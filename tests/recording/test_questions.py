"""Questions to records: choosing, statistics, groups."""

from __future__ import annotations

import decimal
import fractions
import math
import re
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memento import OptionError, RecordKeeper, Records
from memento.errors import UnknownMetric


@pytest.fixture
def records():
    top = RecordKeeper(study="birds")
    for model in ("svm", "tree"):
        for training in (True, False):
            keeper = top.sub_record_keeper(model=model, training=training)
            for index in range(4):
                keeper.push(index=index, loss=index + (0.5 if training else 0.25), note=f"{model} {index}")
    return top.records


def test_conditions_are_values_choices_or_functions(records):
    assert len(records.where(model="svm")) == 8
    assert len(records.where(model="svm", training=True)) == 4
    assert len(records.where(model=["svm", "tree"], index={1, 2})) == 8
    assert records.where(model="tree", training=False, index=lambda index: index > 1).values("loss") == [2.25, 3.25]
    assert records.where(note="svm 1").values("training") == [True, False]
    assert len(records.where(model="forest")) == 0
    assert len(records.where(model="svm").where(index=2)) == 2


def test_one_is_not_true(records):
    assert len(records.where(training=1)) == 0
    assert len(records.where(index=True)) == 0
    assert len(records.where(index=1.0)) == 4


def test_a_value_of_the_record_goes_before_one_of_the_keeper_and_an_absent_one_behind():
    keeper = RecordKeeper(x="keeper")
    keeper.push(x="own", y=1)
    keeper.push(y=2)

    assert keeper.records.where(x="own").values("y") == [1]
    assert keeper.records.where(x="keeper").values("y") == [2]
    assert keeper.records.values("x") == ["own", "keeper"]
    assert {key: group.values("y") for key, group in keeper.records.groupby("x").items()} == {"own": [1], "keeper": [2]}


def test_a_name_that_some_records_lack_reads_as_none_and_one_that_all_lack_is_an_error(records):
    top = RecordKeeper()
    top.push(a=1)
    top.push(b=2)
    assert top.records.where(a=None).values("b") == [2]

    with pytest.raises(
        UnknownMetric, match=r"^no 'lss' was recorded here; there is: 'study', 'model', 'training', 'index"
    ):
        records.mean("lss")
    with pytest.raises(UnknownMetric, match=r"^no 'modell' was recorded here"):
        records.where(modell="svm")
    with pytest.raises(UnknownMetric, match=r"^no 'modell' was recorded here"):
        records.groupby("modell")


def test_statistics_have_the_values_of_the_standard_library(records):
    losses = records.values("loss")

    assert records.count() == records.count("loss") == 16
    assert records.sum("loss") == math.fsum(losses) == 30.0
    assert records.mean("loss") == 1.875
    assert records.std("loss") == pytest.approx(statistics.stdev(losses))
    assert records.median("loss") == 1.875
    assert (records.min("loss"), records.max("loss")) == (0.25, 3.5)
    assert (records.min("note"), records.max("note")) == ("svm 0", "tree 3")
    assert (records.sum("index"), records.mean("training")) == (24, 0.5)


@given(st.lists(st.floats(allow_infinity=False, width=32), max_size=30), st.integers(1, 4))
def test_nan_and_none_take_no_part(numbers, keepers):
    top = RecordKeeper()
    subs = [top.sub_record_keeper() for _ in range(keepers)]
    for position, number in enumerate(numbers):
        subs[position % keepers].push(x=number)
        subs[position % keepers].push(x=None)
    top.push(x=1)
    known = [1, *(number for number in numbers if number == number)]

    assert top.records.count("x") == len(known)
    assert top.records.mean("x") == pytest.approx(statistics.fmean(known), rel=1e-9, abs=1e-9)
    assert (top.records.min("x"), top.records.max("x")) == (min(known), max(known))
    assert top.records.median("x") == statistics.median(known)
    assert top.records.sum("x") == pytest.approx(math.fsum(known))


def test_nothing_has_a_count_and_a_sum_of_zero_and_is_otherwise_nan():
    nothing = RecordKeeper().records

    assert (nothing.count(), nothing.count("x"), nothing.sum("x")) == (0, 0, 0)
    assert all(math.isnan(each("x")) for each in (nothing.mean, nothing.std, nothing.median, nothing.min, nothing.max))
    assert len(nothing.where(x=1)) == 0


def test_integers_are_summed_exactly_and_infinities_do_not_fail():
    keeper = RecordKeeper()
    keeper.push(big=2**62, far=1e308)
    keeper.push(big=2**62 + 1, far=1e308)
    keeper.push(big=2**70, either=math.inf)
    keeper.push(either=-math.inf)

    assert keeper.records.sum("big") == 2**63 + 1 + 2**70
    assert keeper.records.sum("far") == math.inf
    assert math.isnan(keeper.records.sum("either"))


def test_what_is_no_number_has_no_mean_and_what_has_no_order_no_minimum(records):
    with pytest.raises(OptionError, match=r"^'note' is not a number but, for example, 'svm 0'; use values"):
        records.mean("note")
    keeper = RecordKeeper()
    keeper.push(x=1)
    keeper.push(x="a")
    with pytest.raises(OptionError, match=re.escape("the values of 'x' cannot be ordered ('<' not supported")):
        keeper.records.min("x")


def test_groups_answer_each_for_itself(records):
    assert records.groupby("model").mean("loss") == {"svm": 1.875, "tree": 1.875}
    assert records.groupby("model", "training").max("loss") == {
        ("svm", True): 3.5,
        ("svm", False): 3.25,
        ("tree", True): 3.5,
        ("tree", False): 3.25,
    }
    assert records.groupby("index").count() == {0: 4, 1: 4, 2: 4, 3: 4}
    assert records.where(training=True).groupby("index").sum("loss") == {0: 1.0, 1: 3.0, 2: 5.0, 3: 7.0}
    assert isinstance(records.groupby("model")["svm"], Records)
    assert records.groupby("model").min("index") == {"svm": 0, "tree": 0}
    assert records.groupby("model").median("index") == {"svm": 1.5, "tree": 1.5}
    assert records.groupby("model").std("index")["svm"] == pytest.approx(statistics.stdev([0, 1, 2, 3] * 2))


def test_in_groups_one_and_true_are_one_key_and_so_is_nan():
    keeper = RecordKeeper()
    for value in (1, True, 1.0, math.nan, None):
        keeper.sub_record_keeper(shared=value).push(own=value)
        keeper.push(own=value, shared="none")
    keeper.push(own=float("nan"), shared="none")

    assert list(keeper.records.groupby("own").count().values()) == [6, 3, 2]
    assert list(keeper.records.groupby("shared").count().values()) == [6, 3, 1, 1]


def test_nan_meets_nan_and_each_kind_of_missing_value_its_own():
    import numpy as np
    import pandas as pd

    keeper = RecordKeeper(level=np.float32("nan"))
    missing = [math.nan, np.float64("nan"), None, pd.NaT, pd.NA, np.datetime64("NaT", "s"), np.ma.masked, 1.0]
    for value in missing:
        keeper.push(value=value)
    records = keeper.records

    assert len(records.where(value=math.nan)) == len(records.where(value=[np.float32("nan"), 2])) == 2
    assert len(records.where(level=math.nan)) == 8
    assert [len(records.where(value=value)) for value in missing[2:]] == [1] * 6
    assert list(records[:6].groupby("value").count().values()) == [2, 1, 1, 1, 1]
    assert records.count("value") == 1


def test_a_column_with_arrays_is_counted_and_otherwise_told_to_be_no_number():
    import numpy as np

    keeper = RecordKeeper()
    for value in (np.arange(3), np.array([math.nan]), np.array([]), None):
        keeper.push(value=value, list=[1])
    records = keeper.records

    assert records.count("value") == 3
    assert len(records.where(value=np.arange(3))) == 1
    assert len(records.where(value=0)) == 0
    with pytest.raises(
        OptionError, match=r"^'value' is not a number but, for example, array\(\[0, 1, 2\]\); use values"
    ):
        records.mean("value")
    with pytest.raises(OptionError, match=r"^the values of 'value' cannot be ordered"):
        records.max("value")
    with pytest.raises(OptionError, match=r"^values of 'list' such as \[1\] cannot be keys of a dict"):
        records.groupby("list")


def test_decimals_fractions_and_the_longest_floats_count_together():
    import numpy as np

    keeper = RecordKeeper()
    for value in (decimal.Decimal("1.5"), fractions.Fraction(1, 2), np.longdouble(2), 4, decimal.Decimal("nan")):
        keeper.push(value=value)
    records = keeper.records

    assert [records.sum("value"), records.mean("value"), records.median("value"), records.count("value")] == [
        8.0,
        2.0,
        1.75,
        4,
    ]


def test_a_list_of_lists_finds_lists():
    keeper = RecordKeeper()
    for value in ([1, 2], (1, 2), 1, 2):
        keeper.push(value=value)

    assert keeper.records.where(value=[[1, 2]]).values("value") == [[1, 2]]
    assert keeper.records.where(value=[(1, 2), 2]).values("value") == [(1, 2), 2]
    assert keeper.records.where(value=[lambda value: value == 1, 2]).values("value") == [1, 2]


def test_integers_that_no_float_comes_near_have_a_sum_and_an_infinite_mean():
    keeper = RecordKeeper()
    for value in (10**400, 10**400 + 2, 10**400 + 7, -1):
        keeper.push(value=value)

    records = keeper.records
    assert (records.sum("value"), records.mean("value"), records.median("value")) == (
        3 * 10**400 + 8,
        math.inf,
        math.inf,
    )
    assert math.isnan(records.std("value"))
    assert records.where(value=lambda value: value < 0).mean("value") == -1


def test_the_deviation_of_integers_is_exact_beyond_the_digits_of_floats():
    keeper = RecordKeeper()
    keeper.push(value=2**60 + 1)
    keeper.push(value=2**60 + 3)

    assert keeper.records.std("value") == 2**0.5


def test_the_deviation_of_decimals_and_fractions_is_a_float():
    keeper = RecordKeeper()
    for value in (decimal.Decimal(1), decimal.Decimal(3)):
        keeper.push(value=value, part=fractions.Fraction(int(value), 2))

    assert (keeper.records.std("value"), keeper.records.std("part")) == (2**0.5, 0.5**0.5)


def test_times_have_an_order_but_no_mean():
    import numpy as np

    keeper = RecordKeeper()
    for value in (5, "NaT", 7):
        keeper.push(value=np.timedelta64(value, "ns"))

    assert keeper.records.max("value") == np.timedelta64(7, "ns")
    with pytest.raises(OptionError, match=r"^'value' is not a number but, for example, np.timedelta64\(5,'ns'\)"):
        keeper.records.mean("value")


def test_records_are_a_sequence(records):
    assert records[0]["note"] == "svm 0"
    assert records[-1]["note"] == "tree 3"
    assert [record["index"] for record in records[2:6]] == [2, 3, 0, 1]
    assert records[2:6].mean("index") == 1.5
    assert [record["index"] for record in records[::-5]] == [3, 2, 1, 0]
    assert len(records[2:6].where(index=0)) == 1
    assert (records[:2] + records[-2:]).values("index") == [0, 1, 2, 3]
    with pytest.raises(IndexError, match=r"^there is no record 16: these are 16, from 0 to 15$"):
        records[16]
