"""Text tables of the wild: the same answer as a careful person's, or one line with the key that mends it."""

import datetime
import gzip
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.field.rig import column, rows, table, told
from tuner.data.dataset import apply
from tuner.errors import DatasetError


def class_of(row: int) -> str:
    return "ab"[row % 2]


# ---- separators and decimals


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separator_is_found_out(separator: str, end: str, tmp_path: Path) -> None:
    text = rows("a,b,y", lambda row: f"{row / 4},{row % 3},{class_of(row)}", end=end).replace(",", separator)
    dataset = table(tmp_path, text)
    assert dataset.features.names == ("a", "b")
    assert column(dataset, "a").tolist() == [row / 4 for row in np.sort(dataset.rows)]
    assert dataset.facts["dialect"]["separator"] == separator


def test_comma_within_words_does_not_make_it_the_separator_nor_a_semicolon_within_quotes(tmp_path: Path) -> None:
    dataset = table(tmp_path, rows("place;y", lambda row: f"Town {row % 4}, County;{class_of(row)}"))
    assert dataset.features.names == tuple(f"place = Town {number}, County" for number in range(4))
    dataset = table(tmp_path, rows("place,y", lambda row: f'"a; {row % 3}; b",{class_of(row)}'))
    assert dataset.features.names == tuple(f"place = a; {number}; b" for number in range(3))


def test_columns_that_stand_below_each_other_by_blanks_are_told_with_what_reads_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"its columns are 3 with a varying number of blanks between them; .* sep=r'\\s\+'"):
        table(tmp_path, rows("a   bb  y", lambda row: f"{row:<4}{row % 7:<6} {class_of(row)}"), name="t.dat")


def test_decimal_commas_are_decimals(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    kind = random.integers(0, 3, 450)
    values = np.stack([5 + kind * 0.8 + random.normal(0, 0.4, 450), 1.5 + kind * 1.9 + random.normal(0, 0.5, 450)], axis=1).round(2)
    text = rows("length;width;y", lambda row: f"{values[row, 0]:.2f};{values[row, 1]:.2f};{'abc'[kind[row]]}".replace(".", ","), 450, "\r\n")
    for more in ({"separator": ";"}, {}):
        dataset = table(tmp_path, text, **more)
        np.testing.assert_allclose(dataset.x, values[dataset.rows], rtol=1e-6)
        fold = dataset.folds[0]
        x = apply(dataset.scaling(fold.train), dataset.x)
        assert LogisticRegression().fit(x[fold.train], dataset.y[fold.train]).score(x[fold.validation], dataset.y[fold.validation]) > 0.94
        assert 'length: number, scaled to mean 0 and deviation 1 (written with a decimal comma; otherwise: dataset.columns.length = "category")' in told(
            dataset
        )
    target = table(tmp_path, text, target="width", exclude=["y"])
    assert target.task == "regression"
    np.testing.assert_allclose(target.y, values[target.rows, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("words", "separator", "more", "expected"),
    [
        (["12,000", "3,500", "999"], ",", {}, [12000, 3500, 999]),
        (["1,234,567.5", "12", "3,000"], ";", {}, [1234567.5, 12, 3000]),
        (["1.234,5", "12,25", "3.000"], ";", {}, [1234.5, 12.25, 3000]),
        (["1 234,5", "12,25", "3 000"], ";", {}, [1234.5, 12.25, 3000]),
        (["1\u202f234", "12", "3\u00a0000"], ";", {}, [1234, 12, 3000]),
        (["1'234.5", "12", "3'000"], ",", {}, [1234.5, 12, 3000]),
        (["$1,200", "$15", "$2.50"], ",", {}, [1200, 15, 2.5]),
        (["12.5%", "3%", "100 %"], ",", {}, [12.5, 3, 100]),
        (["12,5 €", "3 €", "1.000 €"], ";", {}, [12.5, 3, 1000]),
        (["+1", "-.5", "1e3"], ",", {}, [1, -0.5, 1000]),
        (["1,234", "2,000", "5"], ";", {"decimal": ","}, [1.234, 2, 5]),
        (["1,234", "2,000", "5"], ";", {"thousands": ","}, [1234, 2000, 5]),
        (["1.234", "2.000", "5"], ";", {"thousands": "."}, [1234, 2000, 5]),
        (["1.234", "2.000", "5"], ";", {}, [1.234, 2, 5]),
        (["0,123", "0,250", "5"], ";", {}, [0.123, 0.25, 5]),
    ],
)
def test_numbers_are_read_as_they_are_meant(words: list[str], separator: str, more: dict[str, str], expected: list[float], tmp_path: Path) -> None:
    text = rows(f"a{separator}y", lambda row: f'"{words[row % 3]}"{separator}{class_of(row)}')
    dataset = table(tmp_path, text, **more)
    assert dataset.features.names == ("a",)
    np.testing.assert_allclose(dataset.x[:, 0], np.array(expected, np.float32)[dataset.rows % 3], rtol=1e-6)


def test_point_is_between_thousands_where_other_columns_have_decimal_commas(tmp_path: Path) -> None:
    dataset = table(tmp_path, rows("a;b;y", lambda row: f"1.{200 + row};{row},5;{class_of(row)}"))
    np.testing.assert_array_equal(column(dataset, "a"), 1200 + np.sort(dataset.rows))
    assert "a: number, scaled to mean 0 and deviation 1 ('.' between thousands, as other columns have decimal commas" in told(dataset)


def test_number_that_may_be_a_thousand_times_as_much_is_asked_about(tmp_path: Path) -> None:
    text = rows("a;y", lambda row: f"{1 + row % 9},{200 + row};{class_of(row)}")
    with pytest.raises(DatasetError, match=r'column \'a\': .* say dataset.decimal = "," or dataset.thousands = ","'):
        table(tmp_path, text)
    # A decimal point elsewhere in the file answers it.
    dataset = table(tmp_path, rows("a;b;y", lambda row: f"{1 + row % 9},{200 + row};{row / 8};{class_of(row)}"))
    assert column(dataset, "a").min() > 1000


# ---- headers


IRIS = rows("5.1,3.5,1.4,Iris-setosa", lambda row: f"{5 + row % 9 / 10},{3 + row % 4 / 10},{1 + row % 2 * 3}.4,Iris-{('setosa', 'versicolor')[row % 2]}", 59)
ADULT = rows(
    "39, Private, 77516, HS-grad, <=50K",
    lambda row: f"{20 + row % 50}, {('Private', '?')[row % 5 == 0]}, {9000 + row}, HS-grad, {('<=50K', '>50K')[row % 2]}",
)


@pytest.mark.parametrize(("text", "target"), [(IRIS, "Iris-setosa"), (IRIS, "species"), (ADULT, "<=50K"), (ADULT, "income")])
def test_first_line_that_looks_like_data_is_asked_about_even_where_a_value_is_named_as_the_target(text: str, target: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"its first line \((5.1|39), .*\) looks like data; has it a header\? header = false") as caught:
        table(tmp_path, text, name="t.data", target=target)
    assert "\n" not in str(caught.value)


def test_file_without_a_header_has_numbers_or_names_and_loses_no_row(tmp_path: Path) -> None:
    dataset = table(tmp_path, IRIS, name="iris.data", header=False, target=4)
    assert (dataset.features.names, dataset.facts["rows"], dataset.classes) == (("1", "2", "3"), 60, ("Iris-setosa", "Iris-versicolor"))
    named = table(tmp_path, IRIS, name="iris.data", header=["sl", "sw", "pl", "species"], target="species")
    assert (named.features.names, named.facts["rows"]) == (("sl", "sw", "pl"), 60)
    assert np.array_equal(named.x, dataset.x)
    with pytest.raises(DatasetError, match=r"dataset\.header names 3 columns, but the file has 4"):
        table(tmp_path, IRIS, name="iris.data", header=["sl", "sw", "species"], target="species")


def test_blanks_after_separators_are_no_part_of_words_and_a_question_mark_is_missing(tmp_path: Path) -> None:
    names = ["age", "work", "weight", "school", "income"]
    dataset = table(tmp_path, ADULT, name="adult.data", header=names, target="income", missing="mean")
    assert dataset.classes == ("<=50K", ">50K")
    assert dataset.features.names == ("age", "work = Private", "work is missing", "weight", "school = HS-grad")
    with pytest.raises(DatasetError, match=r"column 'work': 12 of 61 values are missing, the first in row 1"):
        table(tmp_path, ADULT, name="adult.data", header=names, target="income")


@pytest.mark.parametrize("header", ["0,1,2,y", "1990,2000,2010,y", "a,b,c,y"])
def test_names_that_count_are_a_header(header: str, tmp_path: Path) -> None:
    dataset = table(tmp_path, rows(header, lambda row: f"{row},{row / 3},7.5,{class_of(row)}"))
    assert dataset.features.names == tuple(header.split(",")[:3])


def test_header_of_other_numbers_is_taken_at_the_users_word(tmp_path: Path) -> None:
    text = rows("7,1990,5,y", lambda row: f"{row},{row},{row},{row % 2}")
    assert table(tmp_path, text, header=True).features.names == ("7", "1990", "5")


def test_blanks_in_names_and_a_compressed_file_and_a_byte_order_mark_are_no_hurdle(tmp_path: Path) -> None:
    text = "\ufeff" + rows(' a , "b", y ', lambda row: f"{row}, {row % 3}, {class_of(row)}")
    assert table(tmp_path, gzip.compress(text.encode()), name="t.txt.gz").features.names == ("a", "b")


# ---- missing values


def test_quoted_empty_field_among_numbers_is_missing(tmp_path: Path) -> None:
    text = rows('"a","kind","y"', lambda row: f'{("" if row % 6 else chr(34) * 2) or row / 8},"{"xy"[row % 2]}",{row % 2}')
    dataset = table(tmp_path, text, missing="median")
    a = column(dataset, "a")
    assert dataset.features.names == ("a", "kind = x", "kind = y")
    known = np.sort(dataset.rows)
    np.testing.assert_array_equal(np.isnan(a), known % 6 == 0)
    assert dataset.scaling(None).fill[0] == pytest.approx(np.median(known[known % 6 > 0] / 8))


@pytest.mark.parametrize("mark", ["?", "-", "NA", "NaN", "null", "None", ".", "n/a", " ", ""])
def test_usual_marks_among_numbers_are_missing_also_with_few_values(mark: str, tmp_path: Path) -> None:
    dataset = table(tmp_path, rows("a,y", lambda row: f"{mark if row % 10 == 3 else 1 + row % 10},{class_of(row)}"), missing="median")
    assert dataset.features.names == ("a",)
    np.testing.assert_array_equal(np.isnan(column(dataset, "a")), np.sort(dataset.rows) % 10 == 3)


def test_marks_of_ones_own_are_missing_as_words_and_as_numbers(tmp_path: Path) -> None:
    text = rows("a,b,y", lambda row: f"{-999 if row % 7 == 0 else row},{'unknown' if row % 5 == 0 else 'uv'[row % 2]},{class_of(row)}")
    dataset = table(tmp_path, text, missing="mean", missing_values=["unknown", -999])
    order = np.sort(dataset.rows)
    np.testing.assert_array_equal(np.isnan(column(dataset, "a")), order % 7 == 0)
    np.testing.assert_array_equal(column(dataset, "b is missing"), order % 5 == 0)
    assert dataset.features.names == ("a", "b = u", "b = v", "b is missing")


def test_class_called_na_is_asked_about_and_kept_at_the_users_word(tmp_path: Path) -> None:
    text = rows("gdp,y", lambda row: f"{row / 9:.3f},{('EU', 'NA', 'South America', 'AS')[row % 4]}")
    with pytest.raises(DatasetError, match=r"target 'y': 'NA', in 15 of 60 rows, may be a class or a missing value; missing_values = \[\] makes it a class"):
        table(tmp_path, text)
    assert table(tmp_path, text, missing_values=[]).classes == ("AS", "EU", "NA", "South America")
    quoted = text.replace("NA\n", '"NA"\n')
    assert table(tmp_path, quoted).classes == ("AS", "EU", "NA", "South America")
    dropped = table(tmp_path, text, missing_values=["NA"], missing="drop")
    assert (dropped.classes, dropped.facts["rows"]) == (("AS", "EU", "South America"), 45)


def test_na_among_numbers_is_missing_also_where_a_class_is_called_so(tmp_path: Path) -> None:
    text = rows("gdp,y", lambda row: f"{'NA' if row % 5 == 0 else row / 9},{('EU', 'NA', 'AS')[row % 3]}")
    dataset = table(tmp_path, text, missing_values=[], missing="median")
    assert (dataset.classes, dataset.features.names) == (("AS", "EU", "NA"), ("gdp",))
    np.testing.assert_array_equal(np.isnan(column(dataset, "gdp")), np.sort(dataset.rows) % 5 == 0)
    assert "gdp: number, scaled to mean 0 and deviation 1 ('NA' read as missing" in told(dataset)


def test_word_na_among_features_is_told_wherever_it_is_read_as_missing(tmp_path: Path) -> None:
    text = rows("place,b,y", lambda row: f"{('EU', 'NA', 'AS')[row % 3]},{row},{class_of(row)}")
    with pytest.raises(DatasetError, match=r"column 'place': 20 of 60 values are missing \('NA' in 20 rows read as missing\)"):
        table(tmp_path, text)
    dataset = table(tmp_path, text, missing="mean")
    assert "'NA' in 20 rows read as missing; otherwise: missing_values = [] keeps it as a word" in told(dataset)
    assert table(tmp_path, text, missing_values=[]).features.names == ("place = AS", "place = EU", "place = NA", "b")


def test_plus_and_minus_are_two_words(tmp_path: Path) -> None:
    assert table(tmp_path, rows("a,y", lambda row: f"{'+-'[row % 2]},{class_of(row)}")).features.names == ("a = +", "a = -")


# ---- booleans and dates


@pytest.mark.parametrize("pair", [("no", "yes"), ("No", "YES"), ("false", "true"), ("FALSE", "True"), ("n", "y"), ("F", "T")])
def test_yes_and_no_are_one_and_zero_as_a_feature_and_keep_their_names_as_classes(pair: tuple[str, str], tmp_path: Path) -> None:
    text = rows("a,y", lambda row: f"{pair[row % 2]},{pair[row // 2 % 2]}")
    dataset = table(tmp_path, text)
    assert dataset.features.names == ("a",)
    np.testing.assert_array_equal(column(dataset, "a"), np.sort(dataset.rows) % 2)
    assert [name.lower() for name in dataset.classes] == [word.lower() for word in pair]


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%y %H:%M", "%b %d %Y", "%d-%b-%Y", "%Y%m%d"]
)
def test_dates_become_days_and_places_on_circles_in_whatever_form_they_are_written(form: str, tmp_path: Path) -> None:
    when = np.datetime64("2019-11-03T07:30:00") + np.arange(300) * np.timedelta64(29, "h")
    text = rows("when,y", lambda row: f'"{when[row].item().strftime(form)}",{class_of(row)}', 300)
    dataset = table(tmp_path, text)
    order = np.sort(dataset.rows)
    timed = "%H" in form
    exact = when if timed else when.astype("datetime64[D]").astype("datetime64[s]")
    base = exact[order].min().astype("datetime64[D]")
    days = (exact - base) / np.timedelta64(1, "D")
    assert dataset.features.columns[0].base == base.astype(int)
    np.testing.assert_allclose(column(dataset, "when (days)"), days[order], atol=1e-3)
    # Worked out by Python's own calendar.
    python = [moment.item() for moment in exact[order]]
    week = [(moment.weekday() + (moment.hour + moment.minute / 60) / 24) / 7 for moment in python]
    np.testing.assert_allclose(column(dataset, "when (week, sin)"), np.sin(2 * np.pi * np.array(week)), atol=1e-3)
    year = [(moment.timetuple().tm_yday - 1 + (moment.hour + moment.minute / 60) / 24) / (366 if moment.year % 4 == 0 else 365) for moment in python]
    np.testing.assert_allclose(column(dataset, "when (year, cos)"), np.cos(2 * np.pi * np.array(year)), atol=1e-3)
    assert ("when (day, sin)" in dataset.features.names) == timed
    if timed:
        day = [(moment.hour + moment.minute / 60) / 24 for moment in python]
        np.testing.assert_allclose(column(dataset, "when (day, sin)"), np.sin(2 * np.pi * np.array(day)), atol=1e-3)
    assert "when: date, days since the first and place in the year and day of the week" in told(dataset)


@pytest.mark.parametrize(("words", "first"), [(["2001Q1", "2001Q2", "2002Q4"], 0), (["2001-01", "2001-04", "2002-10"], 0)])
def test_quarters_and_months_stand_for_their_first_day(words: list[str], first: int, tmp_path: Path) -> None:
    dataset = table(tmp_path, rows("when,b,y", lambda row: f"{words[row % 3]},{row},{class_of(row)}"))
    expected = np.array([first, 90, 638])
    np.testing.assert_array_equal(column(dataset, "when (days)"), expected[np.sort(dataset.rows) % 3])


def test_times_of_day_are_a_place_on_a_circle(tmp_path: Path) -> None:
    dataset = table(tmp_path, rows("at,y", lambda row: f"{row % 24:02}:30,{class_of(row)}"))
    assert dataset.features.names == ("at (day, sin)", "at (day, cos)")
    np.testing.assert_allclose(column(dataset, "at (day, cos)"), np.cos(2 * np.pi * (np.sort(dataset.rows) % 24 + 0.5) / 24), atol=1e-6)
    assert np.array_equal(apply(dataset.scaling(None), dataset.x), dataset.x)


def test_dates_whose_day_may_be_their_month_are_asked_about(tmp_path: Path) -> None:
    text = rows("when,y", lambda row: f"{1 + row % 12:02}/{1 + row // 12:02}/2020,{class_of(row)}")
    with pytest.raises(DatasetError, match=r'say which: dataset\.columns\.when = "%d/%m/%Y" or dataset\.columns\.when = "%m/%d/%Y"'):
        table(tmp_path, text)
    for form, (day, month) in (("%d/%m/%Y", (0, 1)), ("%m/%d/%Y", (1, 0))):
        dataset = table(tmp_path, text, columns={"when": form})
        parts = np.stack([1 + np.sort(dataset.rows) % 12, 1 + np.sort(dataset.rows) // 12])
        expected = np.array([datetime.date(2020, parts[month, row], parts[day, row]).toordinal() for row in range(len(dataset.rows))])
        np.testing.assert_array_equal(column(dataset, "when (days)"), expected - expected.min())


def test_missing_date_is_filled_as_its_days_are_and_is_in_the_middle_of_each_circle(tmp_path: Path) -> None:
    text = rows("when,y", lambda row: f"{'' if row % 5 == 0 else np.datetime64('2020-01-01') + row * 9},{class_of(row)}")
    dataset = table(tmp_path, text, missing="mean")
    holes = np.sort(dataset.rows) % 5 == 0
    np.testing.assert_array_equal(np.isnan(column(dataset, "when (days)")), holes)
    assert not column(dataset, "when (year, sin)")[holes].any()
    assert np.isfinite(apply(dataset.scaling(None), dataset.x)).all()


# ---- what cannot be learnt from, and several problems


def test_words_that_are_nearly_all_different_are_left_out_and_taken_at_the_users_word(tmp_path: Path) -> None:
    text = rows("name,a,y", lambda row: f"person {row},{row % 4},{class_of(row)}")
    dataset = table(tmp_path, text)
    assert dataset.features.names == ("a",)
    assert 'name: left out (60 distinct words in 60 rows; otherwise: dataset.columns.name = "category")' in told(dataset)
    assert len(table(tmp_path, text, columns={"name": "category"}).features.names) > 40


def test_empty_column_is_left_out_and_one_after_a_last_separator_too(tmp_path: Path) -> None:
    dataset = table(tmp_path, rows("a,b,y,", lambda row: f"{row},,{class_of(row)},"))
    assert dataset.features.names == ("a",)
    assert "b: left out (holds no value)" in told(dataset) and "column 4: left out (holds no value)" in told(dataset)


def test_every_problem_of_a_table_is_told_at_once(tmp_path: Path) -> None:
    when = lambda row: f"{1 + row % 12:02}/{1 + row // 12:02}/2020"  # noqa: E731
    text = rows("a,b,c,d,y", lambda row: f"{'1l' if row == 7 else row},{'' if row == 3 else row},{when(row)},{'inf' if row == 9 else row},{class_of(row)}")
    with pytest.raises(DatasetError) as caught:
        table(tmp_path, text)
    message = str(caught.value)
    assert "4 problems: (1) column 'a': nearly all its values are numbers, but '1l' is none; missing_values = [\"1l\"]" in message
    for part in ("column 'c': dates like", "column 'd': row 9 holds inf", "column 'b': 1 of 60 values are missing, the first in row 3"):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"code": "category"}, ("code = 01", "code = 02", "code = 03", "flag", "size")),
        ({"code": "unscaled"}, ("code", "flag", "size")),
        ({"flag": "boolean"}, ("code", "flag", "size")),
        ({"size": "category"}, ("code", "flag", "size = 0", "size = 1", "size = 2", "size = 3")),
    ],
)
def test_each_decision_about_a_column_is_overruled_by_name(columns: dict[str, str], names: tuple[str, ...], tmp_path: Path) -> None:
    text = rows("code,flag,size,y", lambda row: f"0{1 + row % 3},{row % 2},{row % 4},{class_of(row)}")
    dataset = table(tmp_path, text, columns=columns)
    assert dataset.features.names == names
    x = apply(dataset.scaling(None), dataset.x)
    (name, asked), *_ = columns.items()
    if asked in ("unscaled", "boolean"):
        index = names.index(name)
        assert np.array_equal(x[:, index], dataset.x[:, index])
        assert np.ptp(x[:, index]) == {"code": 2, "flag": 1}[name]
    assert "if these are codes for something else, say so: " in told(dataset)
