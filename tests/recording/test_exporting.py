"""Records as tables of pandas, and as Parquet folders that other programs read as one table."""

from __future__ import annotations

import datetime
import sys

import pytest

from memento import ExperimentCollection, MissingExtra, OptionError, RecordKeeper


def study(path):
    collection = ExperimentCollection(path)
    for seed in (1, 2):
        with collection.new_experiment() as keeper:
            for model in ("svm", "é/b c"):
                for training in (True, False):
                    losses = keeper.sub_record_keeper(model=model, training=training)
                    for index in range(5):
                        losses.push(index=index, loss=seed + index / 4)
    return collection


def test_a_frame_has_a_row_for_each_record_and_a_column_for_each_name(tmp_path):
    import pandas

    frame = study(tmp_path).to_frame()

    assert frame.shape == (40, 10)
    assert list(frame.columns[:3]) == ["experiment_number", "error_number", "had_error"]
    assert list(frame.columns[-4:]) == ["model", "training", "index", "loss"]
    assert [str(frame[name].dtype) for name in ("experiment_number", "training", "loss")] == [
        "int64",
        "bool",
        "float64",
    ]
    assert pandas.api.types.is_integer_dtype(frame["index"])
    assert frame[frame.training & (frame.model == "svm")].groupby("experiment_number").loss.mean().to_dict() == {
        1: 1.5,
        2: 2.5,
    }


def test_a_frame_of_records_of_many_kinds_shows_what_is_missing():
    top = RecordKeeper(study="birds")
    top.push(a=1, b="x")
    top.sub_record_keeper(model="svm").push(a=None, c=0.5)
    frame = top.records.to_frame()

    assert frame.astype(object).where(frame.notna(), None).to_dict("list") == {
        "study": ["birds", "birds"],
        "model": [None, "svm"],
        "a": [1, None],
        "b": ["x", None],
        "c": [None, 0.5],
    }
    assert RecordKeeper().records.to_frame().shape == (0, 0)


def test_whole_numbers_keep_every_digit_in_a_frame_where_some_records_have_none():
    keeper = RecordKeeper()
    keeper.push(loss=0.5)
    keeper.push(seed=2**60 + 3, few=2)
    keeper.sub_record_keeper(known=2**60 + 1).push(seed=2**60 + 1, wide=2**63, few=1)
    frame = keeper.records.to_frame()

    assert frame.astype(object).where(frame.notna(), None).to_dict("list") == {
        "known": [None, None, 1152921504606846977],
        "seed": [None, 1152921504606846979, 1152921504606846977],
        "wide": [None, None, 9223372036854775808],
        "few": [None, 2.0, 1.0],
        "loss": [0.5, None, None],
    }
    assert [str(frame[name].dtype) for name in ("known", "seed", "wide", "few")] == [
        "Int64",
        "Int64",
        "object",
        "float64",
    ]


def test_records_of_a_keeper_without_data_are_a_frame():
    keeper = RecordKeeper()
    keeper.push(loss=0.5)
    keeper.push(loss=0.25)

    assert keeper.records.to_frame().to_dict("list") == {"loss": [0.5, 0.25]}


def test_times_of_a_unit_that_pandas_lacks_stay_what_they_are_in_a_frame():
    import numpy as np

    keeper = RecordKeeper(years=np.timedelta64(5, "Y"))
    keeper.push(fine=np.datetime64(5, "ps"), day=np.datetime64("2020-01-01"))
    frame = keeper.records.to_frame()

    assert (frame.years[0], frame.fine[0]) == (np.timedelta64(5, "Y"), np.datetime64(5, "ps"))
    assert frame.day.dtype.kind == "M"


@pytest.mark.parametrize("missing", ["NaT", "NA"])
def test_times_keep_their_nanoseconds_in_parquet_and_what_is_missing_is_null(missing, tmp_path):
    import numpy as np
    import pandas as pd
    import pyarrow.parquet

    instant = "2020-01-01T00:00:00.000000001"
    given = {
        "numpy": np.datetime64(instant),
        "pandas": pd.Timestamp(instant),
        "zone": pd.Timestamp(instant, tz="UTC"),
        "lasting": pd.Timedelta(1, "ns"),
        "day": np.datetime64("2020-01-01"),
        "hour": np.datetime64("2020-01-01T05", "h"),
        "years": np.timedelta64(5, "Y"),
    }
    keeper = RecordKeeper()
    keeper.push(**given)
    keeper.push(**dict.fromkeys(given, getattr(pd, missing)))
    keeper.records.to_parquet(tmp_path / "out")

    (path,) = (tmp_path / "out").rglob("*.parquet")
    first, second = pyarrow.parquet.read_table(path).to_pylist()
    assert {name: pd.Timestamp(first[name]).nanosecond for name in ("numpy", "pandas", "zone")} == {
        "numpy": 1,
        "pandas": 1,
        "zone": 1,
    }
    assert first["lasting"] == pd.Timedelta(1, "ns")
    assert (first["day"], first["hour"]) == (datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 5))
    assert first["years"] == "5 years"
    assert set(second.values()) == {None}


def test_duckdb_reads_the_folder_as_one_table_and_its_partitions(tmp_path):
    import duckdb

    study(tmp_path / "study").to_parquet(tmp_path / "table")

    query = (
        f"select experiment_number, model, avg(loss) from read_parquet('{tmp_path}/table/**/*.parquet', "
        "hive_partitioning = true) where training group by all order by all"
    )
    assert duckdb.sql(query).fetchall() == [(1, "svm", 1.5), (1, "é/b c", 1.5), (2, "svm", 2.5), (2, "é/b c", 2.5)]


def test_polars_reads_the_folder_as_one_table(tmp_path):
    import polars

    study(tmp_path / "study").to_parquet(tmp_path / "table")

    table = polars.scan_parquet(tmp_path / "table/**/*.parquet", hive_partitioning=True).collect()

    assert table.shape == (40, 10)
    assert table.filter(polars.col("model") == "é/b c")["loss"].mean() == 2.0


def test_pandas_reads_the_folder_as_one_table(tmp_path):
    import pandas

    study(tmp_path / "study").to_parquet(tmp_path / "table")

    table = pandas.read_parquet(tmp_path / "table")

    assert table.shape == (40, 10)
    assert table[table.model.astype(str) == "svm"].loss.mean() == 2.0
    # Only ASCII is escaped: Spark takes each escape for one character.
    assert max(str(path.relative_to(tmp_path / "table")) for path in (tmp_path / "table").rglob("*.parquet")) == (
        "experiment_number=2/error_number=0/had_error=false/model=é%2Fb%20c/training=true/part-0.parquet"
    )


def test_the_partitions_can_be_chosen_or_left_out(tmp_path):
    from pyarrow import parquet

    records = study(tmp_path / "study").records
    records.to_parquet(tmp_path / "one", partition_by=[])
    records.where(model="svm").to_parquet(tmp_path / "two", partition_by=["index"])

    assert [path.name for path in (tmp_path / "one").iterdir()] == ["part-0.parquet"]
    assert parquet.read_table(tmp_path / "one/part-0.parquet").num_rows == 40
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [f"index={index}" for index in range(5)]


def test_a_column_has_one_type_in_all_files_whatever_each_of_them_holds(tmp_path):
    from pyarrow import parquet

    top = RecordKeeper()
    top.sub_record_keeper(kind="whole").push(number=1, mixed=1, when=datetime.date(2026, 1, 2), text="a")
    top.sub_record_keeper(kind="real").push(number=0.5, mixed="b", extra=[1, 2])
    top.sub_record_keeper(kind="none").push(number=None, mixed=None, odd=1j)
    top.records.to_parquet(tmp_path / "table")

    tables = {
        kind: parquet.read_table(tmp_path / f"table/kind={kind}/part-0.parquet") for kind in ("whole", "real", "none")
    }
    assert len({str(table.schema.remove_metadata()) for table in tables.values()}) == 1
    named = {field.name: str(field.type) for field in tables["whole"].schema if field.name != "kind"}
    assert named == {
        "number": "double",
        "mixed": "string",
        "when": "date32[day]",
        "text": "string",
        "extra": "list<element: int64>",
        "odd": "string",
    }
    whole = parquet.read_table(tmp_path / "table").to_pylist()
    assert {row["kind"]: (row["number"], row["mixed"]) for row in whole} == {
        "whole": (1.0, "1"),
        "real": (0.5, "b"),
        "none": (None, None),
    }


def test_a_record_of_nothing_of_its_own_is_not_lost(tmp_path):
    from pyarrow import parquet

    top = RecordKeeper(study="birds", model="svm")
    top.add_record({})
    top.records.to_parquet(tmp_path / "table")

    assert parquet.read_table(tmp_path / "table").to_pylist() == [{"model": "svm", "study": "birds"}]


def test_no_record_is_lost_where_all_it_has_is_the_partition(tmp_path):
    from pyarrow import parquet

    keeper = RecordKeeper()
    keeper.push(a=1)
    keeper.push(a=1)
    keeper.push(a=2, b="x")
    keeper.records.to_parquet(tmp_path / "table", partition_by=["a"])

    table = parquet.read_table(tmp_path / "table").to_pylist()
    assert sorted((row["a"], row["b"]) for row in table if row["a"] == 2) == [(2, "x")]
    assert [row["b"] for row in table if row["a"] == 1] == [None, None]


def test_values_that_one_folder_is_named_after_are_all_in_it(tmp_path):
    from pyarrow import parquet

    top = RecordKeeper()
    for number, model in enumerate((1, "1", None, "", "a\ud800", "a?", True, "true")):
        top.sub_record_keeper(model=model).push(number=number)
    top.records.to_parquet(tmp_path / "table", partition_by=["model"])

    table = parquet.read_table(tmp_path / "table").to_pylist()
    assert sorted((row["number"], row["model"]) for row in table) == [
        (0, "1"),
        (1, "1"),
        (2, None),
        (3, None),
        (4, "a?"),
        (5, "a?"),
        (6, "true"),
        (7, "true"),
    ]


def test_what_cannot_name_a_folder_is_a_column(tmp_path):
    import pandas

    long, wide = "ü" * 130, 16**5000  # of more than 255 bytes; of more digits than Python writes out
    top = RecordKeeper(long=long, empty="", none=None, wide=wide, model="svm", own=0)
    top.push(own=1)
    top.push(other=2)
    top.records.to_parquet(tmp_path / "table")

    table = pandas.read_parquet(tmp_path / "table")
    assert [path.name for path in (tmp_path / "table").iterdir()] == ["model=svm"]
    assert table.long.tolist() == [long, long]
    assert table.wide.tolist() == [hex(wide), hex(wide)]
    assert table.own.tolist() == [1, 0]
    with pytest.raises(
        OptionError, match=r"^partition_by names 'long', of which a value is too long .*: long=ü.*…; leave it out$"
    ):
        top.records.to_parquet(tmp_path / "other", partition_by=["long"])
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("seed", ["007", "7"]),
        ("day", ["2026-01-02", "2026-01-03"]),
        ("truth", ["true", "false"]),
        ("rate", [0.5, 0.25]),
        ("_hidden", ["a", "b"]),
        (".hidden", ["a", "b"]),
        ("some", ["a", None]),
    ],
)
def test_what_a_reader_would_not_find_again_in_the_names_of_folders_is_a_column(name, values, tmp_path):
    import duckdb
    import pandas
    import polars

    top = RecordKeeper(model="svm")
    for value in values:
        top.sub_record_keeper(**{name: value}).push(loss=0.5)
    top.records.to_parquet(tmp_path / "table")

    table, pattern = tmp_path / "table", f"{tmp_path}/table/**/*.parquet"
    assert pandas.read_parquet(table)[name].fillna("").tolist() == [value or "" for value in values]
    assert polars.read_parquet(pattern, hive_partitioning=True)[name].to_list() == values
    read = f"select \"{name}\" from read_parquet('{pattern}', hive_partitioning = true)"
    assert [one for (one,) in duckdb.sql(read).fetchall()] == values
    assert [path.name for path in table.iterdir()] == ["model=svm"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2**53 + 1, 0.5], ["9007199254740993", "0.5"]),
        ([2**53, 0.5], [2.0**53, 0.5]),
        ([{}, {"a": 1}], ["{}", "{'a': 1}"]),
        ([[{}], [{}]], ["[{}]", "[{}]"]),
    ],
)
def test_values_of_two_keepers_that_no_type_of_parquet_holds_are_texts(values, expected, tmp_path):
    import pandas

    top = RecordKeeper()
    for model, value in zip("ab", values, strict=True):
        top.sub_record_keeper(model=model).push(value=value)
    top.records.to_parquet(tmp_path / "table")

    assert pandas.read_parquet(tmp_path / "table").value.tolist() == expected


def test_a_time_too_far_away_for_nanoseconds_is_a_text_beside_one_that_has_them(tmp_path):
    import pandas as pd

    top = RecordKeeper()
    top.sub_record_keeper(model="a").push(when=pd.Timestamp("2020-01-01T00:00:00.000000001"))
    top.sub_record_keeper(model="b").push(when=datetime.datetime(9000, 1, 1))
    top.records.to_parquet(tmp_path / "table")

    assert pd.read_parquet(tmp_path / "table").when.tolist() == [
        "2020-01-01 00:00:00.000000001",
        "9000-01-01 00:00:00",
    ]


def test_names_with_half_a_character_and_no_records_at_all_can_be_written(tmp_path):
    import pandas

    keeper = RecordKeeper(model="svm")
    keeper.add_record({"\ud800": 1})
    keeper.records.to_parquet(tmp_path / "name", partition_by=[])
    keeper.records.where(model="other").to_parquet(tmp_path / "nothing")

    assert pandas.read_parquet(tmp_path / "name").to_dict("list") == {"model": ["svm"], "\\ud800": [1]}
    assert pandas.read_parquet(tmp_path / "nothing").empty


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(OptionError, match=r"is not empty; give to_parquet a new folder, or remove this one first$"):
        study(tmp_path / "study").to_parquet(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "study"]


@pytest.mark.parametrize(("module", "extra"), [("pandas", "pandas"), ("pyarrow", "parquet")])
def test_a_missing_package_is_told_with_what_to_install(tmp_path, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    records = RecordKeeper().records

    with pytest.raises(MissingExtra, match=rf"^this needs {module}, .* install 'memento\[{extra}\]'$"):
        records.to_frame() if module == "pandas" else records.to_parquet(tmp_path / "table")
