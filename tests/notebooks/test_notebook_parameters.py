"""Parameters: what is read from the cell, what a given value means, and what is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dslkit.errors import UsageError
from dslkit.notebooks import ParameterError, injection, read_parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from dslkit.notebooks.parameters import Parameter

CELL = """
%matplotlib inline
import datetime
from pathlib import Path
from typing import Annotated, Literal, Optional

# the heart of it
count: int = 5  # 1..64: how many
share = 0.5  # ..1: of the whole
flag = False
name: str = "x"
mode: Literal["simple", "rag"] = "rag"  # how
level: Literal[1, 2] = 1
budget: float | None = None  # 0..: USD
title: Optional[str] = None
out: Path = Path("out")
names: list[str] = []
counts: dict[str, int] = {}
pair: tuple[int, int] = (1, 2)
day: datetime.date = datetime.date(2026, 1, 1)
small: Annotated[int, Field(ge=0, le=3)] = 1
strange: "numpy.ndarray" = None
free = None
text: str = (
    "long "
    "text"
)  # over lines
count_squared = count * count
"""

MEANT = [
    ("count", "7", 7),
    ("count", 7.0, 7),
    ("share", "0.25", 0.25),
    ("share", 1, 1.0),
    ("flag", "true", True),
    ("flag", "False", False),
    ("flag", "no", False),
    ("flag", 1, True),
    ("name", "007", "007"),
    ("name", 7, "7"),
    ("name", True, "True"),
    ("mode", "simple", "simple"),
    ("level", "2", 2),
    ("budget", "None", None),
    ("budget", "", None),
    ("budget", "2.5", 2.5),
    ("title", "null", None),
    ("title", "5", "5"),
    ("out", "a/b", Path("a/b")),
    ("names", "a, b", ["a", "b"]),
    ("names", "['a', \"b\"]", ["a", "b"]),
    ("names", "a", ["a"]),
    ("names", "", []),
    ("counts", '{"a": "1"}', {"a": 1}),
    ("pair", "3,4", (3, 4)),
    ("day", "2026-02-03", dt.date(2026, 2, 3)),
    ("small", "3", 3),
    ("strange", "anything", "anything"),
    ("free", 5, 5),
]

WRONG = [
    ("count", "many", "valid integer"),
    ("count", 5.5, "fractional"),
    ("count", 65, "less than or equal to 64"),
    ("count", "0", "greater than or equal to 1"),
    ("count", True, "valid integer"),
    ("share", 1.5, "less than or equal to 1"),
    ("share", "nan", "finite"),
    ("flag", "maybe", "boolean"),
    ("flag", 2, "boolean"),
    ("mode", "simpel", "'simple' or 'rag'"),
    ("level", "3", "1 or 2"),
    ("budget", -1, "greater than or equal to 0"),
    ("names", {"a": 1}, "list"),
    ("counts", "a", "dictionary"),
    ("counts", "{a: b}", "integer"),
    ("pair", "1,2,3", "at most 2"),
    ("day", "tomorrow", "date"),
    ("small", 4, "less than or equal to 3"),
    ("text", None, "string"),
]


@pytest.fixture
def parameters(notebook: Callable[..., Path]) -> tuple[Parameter, ...]:
    return read_parameters(notebook(parameters=CELL))


def fit(parameters: tuple[Parameter, ...], **given: Any) -> dict[str, Any]:
    return injection.fit_all(parameters, given, notebook="nb.ipynb", environment={})


def test_reads_name_type_default_and_help(parameters: tuple[Parameter, ...]) -> None:
    read = {each.name: str(each) for each in parameters}
    assert read["count"] == "count: int = 5  # 1..64: how many"
    assert read["share"] == "share: float = 0.5  # ..1: of the whole"
    assert read["flag"] == "flag: bool = False"
    assert read["text"] == "text: str = 'long text'  # over lines"
    assert read["day"] == "day: datetime.date = datetime.date(2026, 1, 1)"
    assert read["free"] == "free: any type = None"
    assert list(read)[:3] == ["count", "share", "flag"]


@pytest.mark.parametrize(("name", "given", "meant"), MEANT)
def test_takes_a_value_for_what_it_spells(
    parameters: tuple[Parameter, ...], name: str, given: object, meant: object
) -> None:
    fitted = fit(parameters, **{name: given})[name]
    assert fitted == meant
    assert type(fitted) is type(meant)


@pytest.mark.parametrize(("name", "given", "why"), WRONG)
def test_refuses_what_does_not_fit(parameters: tuple[Parameter, ...], name: str, given: object, why: str) -> None:
    with pytest.raises(ParameterError, match=why) as refused:
        fit(parameters, **{name: given})
    assert name in str(refused.value)


def test_names_every_problem_at_once_and_what_exists(parameters: tuple[Parameter, ...]) -> None:
    with pytest.raises(ParameterError) as refused:
        fit(parameters, cuont=1, flag="maybe", nothing_like_it=1)
    text = str(refused.value)
    assert "cuont: unknown; did you mean 'count'?" in text
    assert "nothing_like_it: unknown\n" in text
    assert "flag: 'maybe' does not fit bool" in text
    assert "  count: int = 5  # 1..64: how many" in text


def test_a_parameter_error_is_the_users(parameters: tuple[Parameter, ...]) -> None:
    with pytest.raises(UsageError):
        fit(parameters, unknown=1)


def test_papermills_own_parameters_pass(parameters: tuple[Parameter, ...]) -> None:
    assert fit(parameters, PAPERMILL_INPUT_PATH="x") == {"PAPERMILL_INPUT_PATH": "x"}


def test_injected_source_restores_the_values(parameters: tuple[Parameter, ...]) -> None:
    given = {name: value for name, value, _ in MEANT}
    fitted = fit(parameters, **given)
    space: dict[str, Any] = {}
    exec("import datetime\nfrom pathlib import Path\n" + injection.source(parameters, fitted), space)
    assert {name: space[name] for name in fitted} == fitted


def test_plain_values_are_json(parameters: tuple[Parameter, ...]) -> None:
    assert injection.plain(fit(parameters, day="2026-02-03", out="a", pair="1,2")) == {
        "day": "2026-02-03",
        "out": "a",
        "pair": [1, 2],
    }


def test_no_parameters_cell_takes_none(notebook: Callable[..., Path]) -> None:
    parameters = read_parameters(notebook("print(1)"))
    assert parameters == ()
    with pytest.raises(ParameterError, match="no cell tagged 'parameters'"):
        fit(parameters, count=1)


def test_two_parameters_cells_are_a_mistake(notebook: Callable[..., Path]) -> None:
    path = notebook(parameters="a = 1")
    path.write_text(
        path.read_text().replace(
            '"cells": [', '"cells": [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "b = 1"}, '
        )
    )
    with pytest.raises(UsageError, match="2 cells tagged 'parameters'"):
        read_parameters(path)


def test_a_parameters_cell_must_be_python(notebook: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="line 2 of the parameters cell"):
        read_parameters(notebook(parameters="a = 1\nb = = 2"))


def test_nothing_of_the_cell_is_executed(notebook: Callable[..., Path], tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    source = f"a: open({str(marker)!r}, 'w') = open({str(marker)!r}, 'w')\nb: list[__import__('os').abort()] = 1"
    assert [each.name for each in read_parameters(notebook(parameters=source))] == ["a", "b"]
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "not JSON"),
        ("[]", "nbformat"),
        ('{"nbformat": 3, "worksheets": []}', "Convert it"),
        ("\udcff", "not JSON"),
    ],
)
def test_what_is_no_notebook_is_said(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "bad.ipynb"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=why):
        read_parameters(path)
