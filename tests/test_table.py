from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from tuner._rows.table import DATE_PARTS, MISSING, Column, Schema, read_schema
from tuner.exceptions import InputError

NAN = float("nan")
UTC = dt.UTC
BERLIN = "Europe/Berlin"
STAMPS = pd.Series(pd.to_datetime(["2020-02-29 13:30", None, "2021-01-01 00:00"]))


def read(values, name="a"):
    """Return the column, numbers and codes of a frame that holds ``values`` and nothing else."""
    schema, table, _ = read_schema(pd.DataFrame({name: values}))
    return schema.columns[0], table.numeric, table.categorical[:, :1].ravel().tolist()


def refused(act):
    """Return the InputError of a call, after checking that rule, value and cure are filled in."""
    with pytest.raises(InputError) as caught:
        act()
    error = caught.value
    assert error.rule.endswith((".", "?"))
    assert str(error.value)
    assert error.cure.endswith(".")
    value = str(error.value).removesuffix(".")  # another library's words bring a stop of their own
    assert str(error) == f"{error.rule} Got {value}. {error.cure}"
    return error


# Kinds of columns


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1.0, NAN, 0.0]),
        pd.Series([1, None, 0], dtype="Int64"),
        pd.Series([1.0, None, 0.0], dtype="Float32"),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series([1, None, 0], dtype="int64[pyarrow]"),
        pd.Series([True, None, False], dtype="bool[pyarrow]"),
        pd.Series([True, None, False], dtype=object),
        pd.Series([True, pd.NA, False], dtype=object),
        pd.Series([1, pd.NA, 0.0], dtype=object),
        pd.Series([Decimal(1), None, Decimal(0)], dtype=object),
        pd.Series([Decimal(1), pd.NA, Decimal(0)], dtype=object),
        pd.Series(pd.to_timedelta([1, None, 0], unit="s")),
        pd.Series([dt.timedelta(seconds=1), None, dt.timedelta(0)], dtype=object),
    ],
    ids=lambda values: f"{values.dtype}-{type(values[1]).__name__}-{type(values[0]).__name__}",
)
def test_numbers_of_every_kind_become_floats(values):
    """1, missing, 0 reads as 1.0, NaN, 0.0, whether float, nullable, boolean, decimal or seconds."""
    column, numeric, _ = read(values)
    assert column.kind == "numeric"
    np.testing.assert_array_equal(numeric[:, 0], [1.0, NAN, 0.0])
    assert numeric.dtype == np.float64


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(["y", None, "x", "y"]),
        pd.Series(["y", NAN, "x", "y"], dtype=object),
        pd.Series(["y", pd.NA, "x", "y"], dtype=object),
        pd.Series(["y", None, "x", "y"], dtype="str"),
        pd.Series(["y", None, "x", "y"], dtype="string"),
        pd.Series(["y", None, "x", "y"], dtype="string[pyarrow]"),
        pd.Series(["y", None, "x", "y"], dtype=pd.CategoricalDtype(["unused", "y", "x"])),
    ],
    ids=lambda values: f"{values.dtype}-{type(values[1]).__name__}",
)
def test_texts_of_every_kind_become_codes(values):
    """Names that occur are sorted and coded (x=0, y=1); missing is -1; unused names get no code."""
    column, _, codes = read(values)
    assert (column.kind, column.categories) == ("categorical", ("x", "y"))
    assert codes == [1, MISSING, 0, 1]


@pytest.mark.parametrize(
    "values",
    [
        STAMPS,
        STAMPS.dt.tz_localize("UTC"),
        pd.Series([dt.datetime(2020, 2, 29, 13, 30), None, dt.datetime(2021, 1, 1)], dtype=object),
        pd.Series(
            [dt.datetime(2020, 2, 29, 13, 30, tzinfo=UTC), None, dt.datetime(2021, 1, 1)], dtype=object
        ),
        STAMPS.astype("timestamp[us][pyarrow]"),
    ],
    ids=["naive", "utc", "object", "mixed zones", "arrow"],
)
def test_dates_of_every_kind_become_parts_in_utc(values):
    """29 February 2020, 13:30 UTC: day 18321.5625 since 1970, year, month, day, Saturday (5), hour."""
    column, numeric, _ = read(values)
    assert column.kind == "datetime"
    # 2020-02-29 is 50 * 365 + 12 leap days + 31 + 28 = 18321 days after 1970-01-01; 13.5 h = 0.5625 d
    np.testing.assert_allclose(numeric[0], [18321.5625, 2020, 2, 29, 5, 13])
    assert np.isnan(numeric[1]).all()
    assert numeric.shape == (3, len(DATE_PARTS))


IN_BERLIN = pd.Series(pd.to_datetime(["2020-01-01 00:00", None, "2020-07-01 00:30"])).dt.tz_localize(BERLIN)


@pytest.mark.parametrize(
    "dtype",
    [IN_BERLIN.dtype, f"timestamp[us, tz={BERLIN}][pyarrow]", object],
    ids=["pandas", "arrow", "object"],
)
def test_dates_of_a_zone_have_the_parts_of_its_clock(dtype):
    """New Year's midnight in Berlin is one, though 23:00 of day 18261 since 1970 in UTC."""
    schema, table, _ = read_schema(pd.DataFrame({"a": IN_BERLIN.astype(dtype)}))
    # 2020-01-01 is 50 * 365 + 12 leap days = 18262 days after 1970-01-01, less an hour: it was 23:00 in UTC
    expected = [18262 - 1 / 24, 2020, 1, 1, 2, 0]
    np.testing.assert_allclose(table.numeric[0], expected)
    np.testing.assert_allclose(table.numeric[2, 1:], [2020, 7, 1, 2, 0])
    naive = dt.datetime(2020, 1, 1)
    for same in (
        naive,
        pd.Timestamp(naive, tz=BERLIN),
        pd.Timestamp("2019-12-31 23:00", tz="UTC"),
        pd.Timestamp("2019-12-31 18:00", tz="America/New_York"),
        dt.date(2020, 1, 1),
        "2020-01-01",
        "2020-01-01T00:00",
        "2019-12-31T23:00Z",
        "2020-01-01T01:00:00.000+02:00",
    ):
        for values in (pd.Series([same]), pd.Series([same, None], dtype=object)):
            encoded = schema.encode(pd.DataFrame({"a": values})).numeric
            np.testing.assert_allclose(encoded[0], expected, err_msg=repr(values))
    mixed = pd.Series([naive, pd.Timestamp(naive, tz="UTC")], dtype=object)
    assert schema.encode(pd.DataFrame({"a": mixed})).numeric[:, -1].tolist() == [0, 1]


def test_clocks_that_are_changed_and_far_ends_are_read():
    """02:30 is skipped in March and told twice in October; the year 9999 ends when it is 10000 elsewhere."""
    schema, *_ = read_schema(pd.DataFrame({"a": IN_BERLIN}))
    told = pd.DataFrame({"a": ["2020-03-29T02:30", "2020-10-25T02:30", "9999-12-31"]})
    assert schema.encode(told).numeric[:, -1].tolist() == [3, 2, 0]
    end = (
        pd.Series(pd.to_datetime(["9999-12-31", "2020-01-01"]))
        .astype("datetime64[us]")
        .dt.tz_localize(BERLIN)
    )
    _, numeric, _ = read(end)
    assert numeric[:, [1, 3, 5]].tolist() == [[9999, 31, 0], [2020, 1, 0]]
    for zone, text, expected in (
        (BERLIN, "9999-12-31T23:59Z", [10000, 1, 0]),
        (BERLIN, "0001-01-01", [1, 1, 0]),
        ("America/New_York", "9999-12-31T23:59:59", [9999, 31, 23]),
    ):
        schema, *_ = read_schema(pd.DataFrame({"a": IN_BERLIN.dt.tz_convert(zone)}))
        encoded = schema.encode(pd.DataFrame({"a": [text]})).numeric
        assert encoded[:, [1, 3, 5]].tolist() == [expected]


def test_a_column_knows_its_zone_by_name():
    """A fixed offset has one, too; a schema saved before zones were kept has none, and is printed as ever."""
    fixed = pd.Series(pd.to_datetime(["2020-01-01T00:00+01:00", "2020-01-02T00:00+01:00"]))
    columns = [read(values)[0] for values in (IN_BERLIN, fixed, STAMPS.dt.tz_localize("UTC"), STAMPS)]
    assert [column.zone for column in columns] == [BERLIN, "UTC+01:00", None, None]
    assert read(fixed)[1][:, -1].tolist() == [0, 0]
    old = Column("a", "datetime")
    del old.__dict__["zone"]
    assert old.zone is None
    assert repr(old) == "Column(name='a', kind='datetime', categories=())"


def test_the_clock_of_a_machine_is_no_zone():
    """Another machine's would show another hour: such dates are read in UTC, here New Year's midnight."""
    local = pd.Series(pd.to_datetime(["2020-01-01", None, "2020-07-01"])).dt.tz_localize("UTC")
    column, numeric, _ = read(local.dt.tz_convert("tzlocal()"))
    assert column.zone is None
    np.testing.assert_allclose(numeric[0], [18262, 2020, 1, 1, 2, 0])


def test_object_dates_are_dates():
    """`datetime.date` cells are a datetime column."""
    column, numeric, _ = read(pd.Series([dt.date(2020, 1, 2), None, dt.date(2020, 1, 1)], dtype=object))
    assert column.kind == "datetime"
    np.testing.assert_allclose(numeric[[0, 2], 3], [2, 1])


def test_columns_lie_among_the_numbers_or_among_the_codes():
    """A date takes six numbers: what follows begins at 1 + 6 = 7. Categories are counted on their own."""
    columns = {"a": [1.0, 2.0], "day": pd.to_datetime(["2020-01-01", "1970-01-03"]), "kind": ["x", None]}
    frame = pd.DataFrame({**columns, "b": [3.0, np.nan], "site": ["y", "z"]})
    schema, table, _ = read_schema(frame)
    assert [(column.name, place) for column, place in schema.places()] == [
        ("a", 0), ("day", 1), ("kind", 0), ("b", 7), ("site", 1),
    ]  # fmt: skip
    vectors = [table.vector(column, place) for column, place in schema.places()]
    # 50 years with 12 leap days: 50 * 365 + 12 = 18262
    np.testing.assert_array_equal(vectors, [[1, 2], [18262, 2], [0, np.nan], [3, np.nan], [0, 1]])


TEXT_DATES = ["2020-02-29T15:30+02:00", None, "2021-01-01"]


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame({"a": pd.Series(TEXT_DATES, dtype=object)}),
        pd.DataFrame({"a": TEXT_DATES}),
        pd.DataFrame({"a": pd.Series(TEXT_DATES, dtype="string")}),
        pd.DataFrame({"a": pd.Series(TEXT_DATES, dtype="string[pyarrow]")}),
        pl.DataFrame({"a": TEXT_DATES}),
        np.array(TEXT_DATES, dtype=object)[:, None],
    ],
    ids=["object", "str", "string", "arrow", "polars", "numpy"],
)
def test_texts_that_are_all_dates_are_dates(X):
    """As 29 February 2020, 13:30 UTC, and New Year; a later day is later, and no new category."""
    schema, table, _ = read_schema(X)
    assert [column.kind for column in schema.columns] == ["datetime"]
    np.testing.assert_allclose(table.numeric[0], [18321.5625, 2020, 2, 29, 5, 13])
    assert np.isnan(table.numeric[1]).all()
    later = schema.encode(pd.DataFrame({"a": ["9999-12-31"]}) if schema.input_names else [["9999-12-31"]])
    assert later.numeric[0, 0] == 2_932_896


def test_texts_among_dates_are_missing_later():
    """One that is no date is a gap, alone in its batch, too; other texts are another column, and refused."""
    schema, *_ = read_schema(pd.DataFrame({"a": ["2020-01-01", "2020-01-02"]}))
    later = pd.DataFrame({"a": ["1970-01-03", "unknown", None, "1970-01-02 12:00"]})
    np.testing.assert_array_equal(schema.encode(later).numeric[:, 0], [2, NAN, NAN, 1.5])
    stamps = pd.DataFrame({"a": pd.to_datetime(["1970-01-03"])})
    assert schema.encode(stamps).numeric[0, 0] == 2
    for gaps in (["unknown"], ["0000-00-00", "2024-02-30", "unknown"]):  # or what looks like a date
        assert np.isnan(schema.encode(pd.DataFrame({"a": gaps})).numeric).all()
    for others in (["red", "blue"], [True]):
        assert "held dates" in refused(lambda: schema.encode(pd.DataFrame({"a": others}))).rule  # noqa: B023


def test_gaps_that_stood_among_dates_at_fit_are_known_again():
    """A row whose date is still open is predicted alone as it is among others; another format is refused."""
    days = [str(day.date()) for day in pd.date_range("2024-01-01", periods=60)]
    schema, *_ = read_schema(pd.DataFrame({"a": [*days, "00/00/0000", "not yet", "00/00/0000"]}))
    assert schema.columns[0].gaps == ("00/00/0000", "not yet")
    for gaps in (["00/00/0000"], ["not yet", "00/00/0000", None]):
        assert np.isnan(schema.encode(pd.DataFrame({"a": gaps})).numeric).all()
    others = pd.DataFrame({"a": ["00/00/0000", "03/04/2024"]})
    assert refused(lambda: schema.encode(others)).value == "texts such as '03/04/2024'"


def test_a_few_texts_do_not_make_categories_of_dates():
    """One of twenty distinct texts that is no date is a gap; of nineteen it makes categories."""
    days = [str(day.date()) for day in pd.date_range("2024-01-01", periods=19)]
    column, numbers, _ = read([*days, "2024-02-30"])
    assert column.kind == "datetime"
    assert np.isnan(numbers[-1]).all()
    assert np.isfinite(numbers[:-1]).all()
    assert read([*days[1:], "2024-02-30"])[0].kind == "categorical"


@pytest.mark.parametrize(
    "values",
    [
        ["2020-01-01", "2020-02-30"],
        ["2020-01-01", "open"],
        ["2020-01-01", 5],
        ["2020-01", "2020-02"],
        ["01/02/2020", "03/02/2020"],
        pd.Series(["2020-01-01", "2020-01-02"], dtype="category"),
    ],
    ids=["no such day", "a word", "a number", "months", "another format", "categories"],
)
def test_texts_that_are_not_all_dates_stay_categories(values):
    """So does what was made categories on purpose."""
    assert read(values)[0].kind == "categorical"


def test_a_category_of_dates_is_encoded_as_it_was_fitted():
    """A schema saved when texts of dates were categories reads them as such."""
    column = Column("a", "categorical", ("2020-01-01", "2020-01-02"))
    frame = pd.DataFrame({"a": ["2020-01-02", "2020-01-03"]})
    assert Schema((column,), ("a",), 1).encode(frame).categorical.ravel().tolist() == [1, 2]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([dt.date(9999, 12, 31), None, dt.date(1, 1, 1)], dtype=object),
        pd.Series(["9999-12-31", None, "0001-01-01"], dtype="datetime64[us]"),
        pd.Series([pd.Timestamp("9999-12-31"), STAMPS[2].as_unit("ns"), pd.Timestamp(1, 1, 1)], dtype=object),
        pd.Series([dt.datetime(9999, 12, 31), None, dt.datetime(1, 1, 1)], dtype="timestamp[us][pyarrow]"),
    ],
    ids=["objects", "microseconds", "beside nanoseconds", "arrow"],
)
def test_dates_may_lie_beyond_what_nanoseconds_hold(values):
    """An open end is often the year 9999: day 2,932,896 since 1970."""
    column, numeric, _ = read(values)
    assert column.kind == "datetime"
    np.testing.assert_allclose(numeric[[0, 2], 1], [9999, 1])
    assert numeric[0, 0] == 2_932_896


@pytest.mark.parametrize(
    "values",
    [pd.Series([True, False, "unknown"], dtype=object), pd.Series([True, False, False]).astype("category")],
    ids=["texts among them", "categories"],
)
def test_truth_values_of_a_category_are_named_alike_in_any_company(values):
    """Rows of truth values alone, as numpy's, pandas' or Python's, have the codes they have among texts."""
    schema, table, _ = read_schema(pd.DataFrame({"a": values}))
    expected = table.categorical[:2].ravel().tolist()
    for alone in (pd.Series([True, False]), pd.Series([True, False], dtype="boolean"), values[:2]):
        assert schema.encode(pd.DataFrame({"a": alone})).categorical.ravel().tolist() == expected


def test_truth_values_are_0_and_1_to_a_category_of_numbers():
    """It was fitted on 0 and 1 as categories: True is 1."""
    schema, _, _ = read_schema(pd.DataFrame({"a": pd.Series([0, 1, 1]).astype("category")}))
    assert schema.encode(pd.DataFrame({"a": [False, True]})).categorical.ravel().tolist() == [0, 1]


def test_one_and_one_point_zero_are_one_category():
    """1, 1.0 and "1" share a code, so that a missing value elsewhere does not rename integers."""
    column, _, codes = read(pd.Series([1, 1.0, "1", "b", None, 2.5], dtype=object))
    assert column.categories == ("1", "2.5", "b")
    assert codes == [0, 0, 0, 2, MISSING, 1]


def test_integer_category_survives_turning_float():
    """A categorical of integers is encoded alike when missing values make it float at predict."""
    schema, _, _ = read_schema(pd.DataFrame({"a": pd.Series([1, 2, 1]).astype("category")}))
    codes = schema.encode(pd.DataFrame({"a": [2.0, NAN, 1.0, 3.0]})).categorical.ravel()
    assert codes.tolist() == [1, MISSING, 0, 2]  # 3 was not seen: the code after the last


@pytest.mark.parametrize(
    "values",
    [
        pd.cut(pd.Series([1.0, 2.0, 3.0, 4.0]), 2),
        pd.Series(pd.period_range("2020", periods=4, freq="M")),
        pd.Series([dt.time(1), dt.time(2), None, dt.time(1)], dtype=object),
    ],
    ids=["intervals", "periods", "times"],
)
def test_odd_types_are_categories(values):
    """What is neither number, text nor date is a category by its name."""
    column, _, codes = read(values)
    assert column.kind == "categorical"
    assert max(codes) == len(column.categories) - 1
    assert [code == MISSING for code in codes] == values.isna().tolist()


def test_a_column_with_one_value_and_gaps_is_kept():
    """Being missing is information: 1, missing is no constant column, in all input kinds."""
    frame = pd.DataFrame({"n": [1.0, NAN, 1.0], "c": ["x", None, "x"], "k": [1, 1, 1]})
    assert [column.name for column in read_schema(frame)[0].columns] == ["n", "c"]
    assert len(read_schema(frame[["n", "k"]].to_numpy())[0].columns) == 1
    assert len(read_schema(sparse.csr_matrix(frame[["n", "k"]].to_numpy()))[0].columns) == 1


# Input kinds


def test_polars_reads_like_pandas():
    """Every polars type with a missing value lands in the right kind; all-null columns are dropped."""
    stamps = [dt.datetime(2020, 1, 1, 3), None, dt.datetime(2020, 1, 3)]
    frame = pl.DataFrame(
        {
            "integer": [1, None, 3],
            "boolean": [True, None, False],
            "decimal": [Decimal("1.5"), None, Decimal(2)],
            "duration": [dt.timedelta(1), None, dt.timedelta(2)],
            "text": ["a", None, "b"],
            "category": pl.Series(["x", None, "y"], dtype=pl.Categorical),
            "enum": pl.Series(["x", None, "y"], dtype=pl.Enum(["x", "y"])),
            "date": [dt.date(2020, 1, 1), None, dt.date(2020, 1, 3)],
            "stamp": stamps,
            "zoned": pl.Series(stamps).dt.replace_time_zone(BERLIN),
            "nothing": [None] * 3,
        }
    )
    schema, table, notes = read_schema(frame)
    kinds = [column.kind for column in schema.columns]
    assert kinds == ["numeric"] * 4 + ["categorical"] * 3 + ["datetime"] * 3
    assert np.isnan(table.numeric[1]).all()
    assert (table.categorical[1] == MISSING).all()
    assert not np.isnan(table.numeric[[0, 2]]).any()
    assert notes == ("Dropped 1 constant or all-missing column(s): nothing.",)
    np.testing.assert_array_equal(schema.encode(frame).numeric, table.numeric)
    np.testing.assert_array_equal(schema.encode(frame.to_pandas()).categorical, table.categorical)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ([*map(str, range(50)), "?"], "51 texts are numbers (not '?')"),
        ([*map(str, np.arange(50) / 4)], "50 texts are numbers. If"),
        ([*map(str, range(19))], None),
        ([*map(str, range(50)), "a", "b", "c"], None),
        ([f"{code:05}" for code in range(50)], None),
        (pd.Categorical([*map(str, range(50))]), None),
    ],
    ids=["question mark", "all", "few", "mixed", "codes", "declared"],
)
def test_numbers_that_come_as_texts_are_told(texts, told):
    """One `?` turns numbers of a CSV file into texts, each a category of its own; codes may be meant."""
    _, table, notes = read_schema(pd.DataFrame({"n": texts}))
    assert table.categorical.shape == (len(texts), 1)
    assert len(notes) == (told is not None)
    assert all(told in note for note in notes)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
def test_every_sparse_format_becomes_csr(kind):
    """All scipy formats, matrices and arrays, give the same CSR block."""
    dense = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
    for make in (getattr(sparse, f"{kind}_matrix"), getattr(sparse, f"{kind}_array")):
        schema, table, notes = read_schema(make(dense))
        assert table.is_sparse
        assert schema.is_sparse
        np.testing.assert_array_equal(table.numeric.toarray(), dense)
        assert notes == ()


def test_repeated_sparse_entries_are_one_cell():
    """SciPy means their sum; trees would read the last of them. The caller's matrix stays as it was."""
    X = sparse.csr_matrix((np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 2))
    _, table, _ = read_schema(X)
    np.testing.assert_array_equal(table.numeric.toarray(), [[3, 0], [0, 3]])
    assert (table.numeric.nnz, X.nnz) == (2, 3)


def test_constant_sparse_columns_are_dropped():
    """All-zero, all-one and all-missing sparse columns go; one that differs in one cell stays."""
    dense = np.array([[0, 1, NAN, 5, 0], [0, 1, NAN, 5, 0], [0, 1, NAN, 0, -1.0]])
    schema, table, notes = read_schema(sparse.csr_matrix(dense))
    np.testing.assert_array_equal(table.numeric.toarray(), dense[:, 3:])
    assert notes == ("Dropped 3 constant or all-missing column(s): x0, x1, x2.",)
    np.testing.assert_array_equal(schema.encode(sparse.csr_matrix(dense)).numeric.toarray(), dense[:, 3:])


@pytest.mark.parametrize("shape", [(4, 2, 3), (4, 2, 3, 2)])
def test_images_are_flattened_and_remembered(shape):
    """Images (n, h, w[, c]) become rows of pixels; another image shape at predict is an error."""
    images = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    schema, table, _ = read_schema(images)
    assert schema.image_shape == shape[1:]
    np.testing.assert_array_equal(table.numeric, images.reshape(4, -1).astype(float))
    np.testing.assert_array_equal(schema.encode(images[:2]).numeric, table.numeric[:2])
    np.testing.assert_array_equal(schema.encode(images.reshape(4, -1)).numeric, table.numeric)
    assert "shape" in refused(lambda: schema.encode(images.swapaxes(1, 2))).rule


def test_numpy_object_array_has_mixed_columns():
    """An object array is read column by column, and encodes arrays without names again."""
    X = np.array([[1, "x", 2.0], [2, "y", 2.0], [None, None, 2.0]], dtype=object)
    schema, table, notes = read_schema(X)
    assert [column.kind for column in schema.columns] == ["numeric", "categorical"]
    assert notes == ("Dropped 1 constant or all-missing column(s): x2.",)
    assert schema.encode(X[::-1]).categorical.ravel().tolist() == [MISSING, 1, 0]
    np.testing.assert_array_equal(table.numeric.ravel(), [1, 2, NAN])


def test_rows_in_lists_keep_their_types():
    """Numbers beside texts stay numbers; a list of images is images."""
    schema, table, _ = read_schema([[1.5, "a"], [2.5, "b"]])
    assert [column.kind for column in schema.columns] == ["numeric", "categorical"]
    assert table.numeric.ravel().tolist() == [1.5, 2.5]
    assert schema.encode([(0.5, "b")]).numeric.tolist() == [[0.5]]
    images = np.arange(24.0).reshape(4, 2, 3)
    schema, table, _ = read_schema(list(images))
    assert schema.image_shape == (2, 3)
    assert "shape" in refused(lambda: schema.encode(list(images.swapaxes(1, 2)))).rule
    assert "equally long" in refused(lambda: read_schema([images[0], images[0].T])).rule


def test_lists_and_floats_of_any_width_are_numbers():
    """float32 stays float32, integers and booleans become float64, lists of lists are tables."""
    for X, dtype in [
        (np.eye(3, dtype=np.float32), np.float32),
        (np.eye(3, dtype=int), np.float64),
        (np.eye(3, dtype=bool), np.float64),
        (np.eye(3, dtype=np.float16), np.float64),
        (np.eye(3).tolist(), np.float64),
    ]:
        table = read_schema(X)[1]
        assert table.numeric.dtype == dtype
        np.testing.assert_array_equal(table.numeric, np.eye(3))


def test_take_keeps_both_blocks_aligned():
    """Rows are taken from numbers and codes alike, dense and sparse."""
    table = read_schema(pd.DataFrame({"n": [1.0, 2, 3], "c": list("xyx")}))[1].take(np.array([2, 0]))
    assert (table.numeric.ravel().tolist(), table.categorical.ravel().tolist()) == ([3.0, 1.0], [0, 0])
    assert (table.n_rows, table.n_columns) == (2, 2)
    rows = read_schema(sparse.csr_matrix(np.eye(3)))[1].take(np.array([1]))
    assert rows.numeric.toarray().tolist() == [[0, 1, 0]]


# Rows that come later


def fitted():
    """Return a schema of one column of each kind and a constant one between them."""
    frame = pd.DataFrame(
        {
            "n": [1.0, 2.0, 3.0],
            "constant": [7, 7, 7],
            "c": ["x", "y", None],
            "d": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"]),
        }
    )
    schema, table, notes = read_schema(frame)
    return frame, schema, table, notes


def test_dropped_columns_are_noted_and_need_not_be_varied_later():
    """The note names the constant column; at predict it is expected and ignored."""
    frame, schema, table, notes = fitted()
    assert notes == ("Dropped 1 constant or all-missing column(s): constant.",)
    again = schema.encode(frame.assign(constant="whatever"))
    np.testing.assert_array_equal(again.numeric, table.numeric)


def test_unseen_categories_get_the_code_after_the_last():
    """A new name is not an error, and not missing."""
    frame, schema, *_ = fitted()
    assert schema.encode(frame.assign(c=["z", "y", None])).categorical.ravel().tolist() == [2, 1, MISSING]


def test_a_column_all_missing_later_is_missing():
    """Numbers, categories and dates may all be missing at predict, whatever type the emptiness has."""
    frame, schema, *_ = fitted()
    for empty in (None, NAN, pd.NA, pd.NaT):
        holes = pd.Series([empty] * 3, dtype=object)
        table = schema.encode(frame.assign(n=holes, c=holes, d=holes))
        assert np.isnan(table.numeric).all()
        assert (table.categorical == MISSING).all()


def test_reordered_columns_are_found_by_name():
    """Column order at predict does not matter where columns have names."""
    frame, schema, table, _ = fitted()
    again = schema.encode(frame[["d", "c", "constant", "n"]])
    np.testing.assert_array_equal(again.numeric, table.numeric)
    np.testing.assert_array_equal(again.categorical, table.categorical)


def test_arrays_are_read_by_position_after_a_named_fit():
    """An array without names has the fit's column order, the constant column included."""
    frame, schema, table, _ = fitted()
    again = schema.encode(frame.to_numpy(dtype=object))
    np.testing.assert_array_equal(again.numeric, table.numeric)
    np.testing.assert_array_equal(again.categorical, table.categorical)
    numbers = pd.DataFrame({"k": 1.0, "a": [1.0, 2.0], "c": pd.Series([5, 6], dtype="category")})
    schema, table, _ = read_schema(numbers)
    again = schema.encode(numbers.to_numpy(dtype=float))
    np.testing.assert_array_equal(again.numeric, table.numeric)
    np.testing.assert_array_equal(again.categorical, table.categorical)


def test_named_frames_are_read_by_position_after_an_unnamed_fit():
    """A frame at predict is taken in its own order where the fit saw no names."""
    X = np.array([[1.0, 9.0, 2.0], [3.0, 9.0, 4.0]])
    schema, table, _ = read_schema(X)
    np.testing.assert_array_equal(schema.encode(pd.DataFrame(X, columns=list("abc"))).numeric, table.numeric)


def test_dense_and_sparse_meet():
    """Sparse rows after a dense fit become dense, so that every family can read them."""
    X = np.array([[0.0, 1.0], [2.0, 0.0]])
    schema = read_schema(X)[0]
    assert not schema.encode(sparse.csr_matrix(X)).is_sparse
    np.testing.assert_array_equal(schema.encode(sparse.csr_matrix(X)).numeric, X)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda frame: frame.drop(columns="n"), "missing columns ['n']"),
        (lambda frame: frame.assign(new=1), "columns ['new']"),
        (lambda frame: frame.rename(columns={"n": "m"}), "missing columns ['n']"),
        (lambda frame: pd.concat([frame, frame[["n"]]], axis=1), "repeated columns ['n', 'n']"),
        (lambda frame: frame.to_numpy(dtype=object)[:, :3], "3 columns"),
        (lambda _: np.zeros((2, 7)), "7 columns"),
        (lambda frame: frame.assign(n=["a", "b", "c"]), "'a'"),
        (lambda frame: frame.assign(d=["no", "date", "here"]), "no"),
        (lambda frame: frame.assign(d=["03/04/2020", None, "05/04/2020"]), "texts such as '03/04/2020'"),
        (lambda frame: frame.assign(d="03/04/2020"), "texts such as '03/04/2020'"),
        (lambda frame: frame.assign(d=[20200101, 20200102, 20200103]), "numbers such as 20200101"),
        (lambda frame: frame.assign(d=[None, 1.5, None]), "numbers such as 1.5"),
        (lambda frame: frame.assign(n=[1.0, np.inf, 2.0]), "infinity in column 'n'"),
        (
            lambda frame: frame.assign(n=[1, 10**309, 2]),
            "at most 1e+100. Got an integer beyond 1e308 in column 'n'. Re",
        ),
        (lambda frame: frame.assign(c=["x", ["y"], None]), "list"),
        (lambda frame: frame.iloc[:0], "0 sample"),
    ],
    ids=[
        *("fewer", "more", "renamed", "twice", "narrow", "wide", "text", "no dates", "day first", "one day"),
        *("days", "seconds", "inf", "huge", "list", "empty"),
    ],
)
def test_columns_that_differ_from_fit_are_refused(change, named):
    """Missing, extra, repeated, mistyped or infinite columns at predict: rule, value, cure."""
    frame, schema, *_ = fitted()
    assert named in str(refused(lambda: schema.encode(change(frame))))


def test_names_are_looked_up_not_searched_for():
    """Twice as many columns are compared with those of fit by twice, not four times as many comparisons."""
    compared = 0

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        def __str__(self):
            return self  # as a column's name goes through `str`

    names = [Name(f"column {index}") for index in range(200)]
    columns = tuple(Column(name, "numeric") for name in names)
    schema = Schema(columns, tuple(names), len(names))
    frame = pd.DataFrame(np.zeros((1, 200)), columns=pd.Index(names, dtype=object))
    assert schema.encode(frame).n_columns == 200
    assert compared <= 10 * 200


def test_an_infinite_column_goes_by_what_the_user_calls_it():
    """By name behind a date, which becomes six numbers, and by place in an array, dropped columns counted."""
    dates = pd.date_range("2024-01-01", periods=3)
    frame = pd.DataFrame({"day": dates, "text": ["a", "b", "a"], "heat": [1.0, np.inf, 2.0]})
    assert refused(lambda: read_schema(frame)).value == "an infinity in column 'heat'"
    array = np.array([[7.0, 1.0, 1.0], [7.0, 2.0, 3.0]])
    schema, *_ = read_schema(array)  # the first column is constant
    broken = np.array([[7.0, 1.0, np.inf]])
    for rows in (broken, sparse.csr_matrix(broken)):
        assert refused(lambda rows=rows: schema.encode(rows)).value == "an infinity in column 2"


# Bad tables

STAMP_NS = pd.Timestamp("2020-01-01").as_unit("ns")
FAR_STAMP = pd.Timestamp(np.datetime64("999999-01-01", "s"))


@pytest.mark.parametrize(
    ("X", "says"),
    [
        (pd.DataFrame({"a": []}), "at least 1 row"),
        (pl.DataFrame({"a": []}), "at least 1 row"),
        (np.empty((0, 2)), "at least 1 row"),
        (np.empty((0, 2, 2)), "at least 1 row"),
        (sparse.csr_matrix((0, 2)), "at least 1 row"),
        (pd.DataFrame(index=range(3)), "at least 1 column"),
        (np.empty((3, 0)), "at least 1 column"),
        (np.zeros(3), "images"),
        (np.zeros((2,) * 5), "images"),
        (None, "images"),
        ([[1, 2], [3]], "equally long"),
        (pl.LazyFrame({"a": [1, 2]}), "in memory"),
        (pl.Series([1, 2]), "images"),
        (np.ones((3, 2)), "must vary"),
        (pd.DataFrame({"a": [1, 1], "b": [None, None]}), "must vary"),
        (sparse.csr_matrix((3, 2)), "must vary"),
        (np.eye(2) * 1j, "real"),
        (sparse.csr_matrix(np.eye(2) * 1j), "real"),
        (pd.DataFrame({"a": [1j, 2.0]}), "real"),
        (np.array([[1.0, np.inf], [2.0, 3.0]]), "finite"),
        (pd.DataFrame({"a": [1.0, -np.inf]}), "finite"),
        (sparse.csr_matrix([[1.0, np.inf], [2.0, 3.0]]), "finite"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), "unique"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=[1, "1"]), "unique"),
        (pd.DataFrame({"a": [[1], [2]]}), "cell"),
        (pd.DataFrame({"a": ["text", {"b": 1}]}), "cell"),
        (pd.DataFrame({"a": pd.Series([10**309, 1], dtype=object)}), "at most 1e+100"),
        (pd.DataFrame({"a": pd.Series([FAR_STAMP, STAMP_NS], dtype=object)}), "microseconds"),
        (pl.DataFrame({"a": [1, 2]}, schema={"a": pl.Int128}), "64 bits"),
    ],
)
def test_bad_tables_are_refused(X, says):
    """Empty, constant, infinite, complex, nested or doubly named tables: rule, value, cure."""
    assert says in refused(lambda: read_schema(X)).rule
