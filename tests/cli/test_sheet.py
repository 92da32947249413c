"""Rows as a table, CSV and JSON, whatever is in them."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.cli.sheet import Sheet
from streamcore.cli.terminal import Terminal


def printed(heads, *batches, style="table"):
    out = io.StringIO()
    sheet = Sheet(Terminal(out, io.StringIO(), {}), heads, style)
    for rows in batches:
        sheet.add(rows)
    return out.getvalue()


def test_columns_are_aligned_under_their_heads():
    assert printed(["a_b", "c"], [["x", 1], ["longer", None]]) == "a b     c\nx       1\nlonger  -\n"


def test_later_rows_have_no_heads_and_columns_that_grow():
    assert printed(["a", "b"], [["x", 1]], [["xyz", 2]], [["x", 3]]) == "a  b\nx  1\nxyz  2\nx    3\n"


@pytest.mark.parametrize(("style", "shown"), [("table", "a  b\n"), ("csv", "a,b\n"), ("json", "")])
def test_without_rows_there_are_the_heads(style, shown):
    assert printed(["a", "b"], [], [], style=style) == shown


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Decimal("0.1000000"), "0.1"),
        (Decimal(100), "100"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-12"), "0.000000000001"),
        (Decimal("123456789012345678901234567890.123456789"), "123456789012345678901234567890.123456789"),
        (Decimal("-0.50"), "-0.5"),
        (0, "0"),
        (1.5, "2"),
        (-1234567.25, "-1234567"),
        (None, ""),
        ("a\r\n b\x85c", "a b c"),
    ],
)
def test_a_cell_is_in_plain_digits_and_on_one_line(cell, text):
    assert printed(["a", "b"], [[cell, 1]], style="csv").splitlines()[1] == f"{text},1"


@pytest.mark.parametrize("start", "=+-@\uff1d\uff0b\uff0d\uff20")
def test_no_text_is_a_formula_for_a_spreadsheet(start):
    text = printed(["a"], [[f"{start}HYPERLINK()"], [f"\t{start}1"]], style="csv")
    assert text.splitlines()[1:] == [f"'{start}HYPERLINK()", f"'{start}1"]


def test_numbers_are_numbers_for_a_spreadsheet():
    assert printed(["a", "b"], [[-1, Decimal("-0.5")]], style="csv") == "a,b\n-1,-0.5\n"


def test_a_table_shows_what_a_formula_would_be():
    assert printed(["a"], [["=1"]]) == "a\n=1\n"


@pytest.mark.parametrize("style", ["table", "csv", "json"])
def test_no_control_character_goes_down_a_pipe(style):
    text = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
    shown = printed(["a"], [[f"x{text}"]], style=style)
    assert not set(text) & set(shown) - {"\n"}
    assert style != "json" or json.loads(shown) == {"a": f"x{text}"}


def test_json_has_money_as_text_and_nothing_as_null():
    line = printed(["a_b", "c", "d", "e"], [["x\n", Decimal("0.10"), None, 2]], style="json")
    assert line == '{"a_b":"x\\n","c":"0.1","d":null,"e":2}\n'


@given(st.lists(st.tuples(st.text(), st.none() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False))))
def test_each_row_is_one_record_of_csv_and_one_line_of_json(rows):
    assert len([*csv.reader(io.StringIO(printed(["a", "b"], rows, style="csv")))]) == len(rows) + 1
    lines = printed(["a", "b"], rows, style="json").split("\n")[:-1]
    assert [json.loads(line)["a"] for line in lines] == [text for text, _ in rows]
    assert len(printed(["a", "b"], rows).split("\n")) == len(rows) + 2
