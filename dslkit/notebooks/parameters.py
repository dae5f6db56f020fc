"""The parameters of a notebook, and whether a value fits one: known before any kernel starts.

Each is one line of the cell tagged ``parameters``: ``name: type = default  # what it is``.  A comment that begins with
``1..64:`` limits a number; either end may be left out.  Without an annotation the default says the type.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import types
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from click import ClickException
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from dslkit.errors import UsageError
from dslkit.notebooks import annotation as syntax
from dslkit.notebooks import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_RANGE = re.compile(r"(?P<least>-?\d+(?:\.\d+)?)?\.\.(?P<most>-?\d+(?:\.\d+)?)?(?:\s*:\s*|\s*$)")
_MAGIC = re.compile(r"^\s*[%!].*$", re.MULTILINE)
_LAX = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False)
_NOTHING = ("None", "null", "")
_COLLECTIONS = frozenset({list, tuple, set})
_STRUCTURES = _COLLECTIONS | {dict}
_UNIONS = frozenset({Union, types.UnionType})


class NotStartedError(UsageError, ClickException):
    """A notebook that cannot be run as asked: nothing was started.

    Also click's, so that papermill's command line says it without a traceback (exit code 1).
    """


class ParameterError(NotStartedError):
    """Given parameters do not fit the notebook."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter: its type and default as written, and what its comment says.

    ``annotation`` is the type itself, None when unknown: then any value will do.  ``least`` and ``most`` are its range,
    ``spellings`` how the notebook names the types that it imports.
    """

    name: str
    type_name: str
    default: str
    help: str = ""
    annotation: Any = None
    least: float | None = None
    most: float | None = None
    spellings: Mapping[type, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}: {self.type_name} = {self.default}" + (f"  # {self.help}" if self.help else "")

    def fit(self, value: object) -> Any:
        """The value in this parameter's type; text is read as a person means it ("5", "true", "a,b", "[1, 2]").

        Raises:
            ValueError: it does not fit; the text says why.
        """
        if self._adapter is None:
            return value
        problem = ""
        for reading in _readings(value, _kinds(self.annotation)):
            try:
                return self._adapter.validate_python(reading)
            except ValidationError as error:
                problem = problem or error.errors(include_url=False)[0]["msg"]
        raise ValueError(problem)

    @cached_property
    def _adapter(self) -> TypeAdapter[Any] | None:
        if self.annotation is None:
            return None
        try:
            return TypeAdapter(_limited(self.annotation, self.least, self.most), config=_LAX)
        except (PydanticUserError, TypeError):
            return None


def read_parameters(notebook: Path | Mapping[str, Any]) -> tuple[Parameter, ...]:
    """The parameters that a notebook takes, in its order; empty for one without a parameters cell.

    Raises:
        UsageError: no notebook, two parameters cells, or a parameters cell that is no Python.
    """
    name = notebook.name if isinstance(notebook, Path) else "The notebook"
    content = document.load(notebook) if isinstance(notebook, Path) else notebook
    source = document.parameters_cell(content, name)
    if not source or document.language_of(content) != "python":
        return ()
    return tuple(_parse(_MAGIC.sub("", source), name))


def _parse(source: str, name: str) -> Iterator[Parameter]:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise UsageError(f"{name}: line {error.lineno} of the parameters cell is no Python: {error.msg}.") from None
    comments = dict(_comments(source))
    spelled = syntax.spellings(tree)
    for statement in tree.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr()):
                pass
            case ast.Assign(targets=[ast.Name(id=target)]):
                pass
            case _:
                continue
        comment = comments.get(statement.end_lineno or 0) or comments.get(statement.lineno, "")
        yield _parameter(target, statement, comment, spelled)


def _parameter(
    name: str, statement: ast.AnnAssign | ast.Assign, comment: str, spelled: Mapping[type, str]
) -> Parameter:
    written = statement.annotation if isinstance(statement, ast.AnnAssign) else None
    assert statement.value is not None
    annotation = _annotation(written, statement.value)
    limits = _RANGE.match(comment) if _kinds(annotation) & {int, float} else None
    return Parameter(
        name=name,
        type_name=ast.unparse(written) if written else getattr(annotation, "__name__", "any type"),
        default=ast.unparse(statement.value),
        help=comment,
        annotation=annotation,
        least=_number(limits["least"]) if limits else None,
        most=_number(limits["most"]) if limits else None,
        spellings=spelled,
    )


def _annotation(written: ast.expr | None, default: ast.expr) -> Any:
    """The type meant, from the annotation or the default; None when neither says it."""
    try:
        if written is not None:
            return syntax.type_of(written)
        value = syntax.value_of(default)
    except syntax.UnreadableError:
        return None
    return None if value is None else type(value)


def _limited(annotation: Any, least: float | None, most: float | None) -> Any:
    """The annotation with its numbers limited: of ``int | None`` the int."""
    limits = [
        *([annotated_types.Ge(least)] if least is not None else ()),
        *([annotated_types.Le(most)] if most is not None else ()),
    ]
    if not limits or not _kinds(annotation) & {int, float}:
        return annotation
    if get_origin(annotation) in _UNIONS:
        return Union[tuple(_limited(each, least, most) for each in get_args(annotation))]  # noqa: UP007 - members known at run time only
    return Annotated[(annotation, *limits)]


def _comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ").rstrip()


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _kinds(annotation: Any) -> frozenset[Any]:
    """The plain types that a value of this annotation may have; ``object`` when there is no saying."""
    origin = get_origin(annotation)
    if origin is Literal:
        return frozenset(type(each) for each in get_args(annotation))
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in _UNIONS:
        return frozenset().union(*(_kinds(each) for each in get_args(annotation)))
    plain = origin or annotation
    return frozenset({plain if isinstance(plain, type) and plain is not Any else object})


def _readings(value: object, kinds: frozenset[Any]) -> Iterator[object]:
    """What a value may stand for, the likeliest first."""
    if isinstance(value, bool) and not kinds & {bool, object}:
        yield str(value)  # pydantic would take True for 1
    elif not isinstance(value, str):
        yield value
    else:
        if value in _NOTHING and types.NoneType in kinds:
            yield None
        if kinds & _STRUCTURES:
            yield from _structure(value, kinds)
        yield from (value, _scalar(value)) if kinds & {str, Path} else (_scalar(value), value)


def _scalar(text: str) -> object:
    """The number that the text spells, or the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _structure(text: str, kinds: frozenset[Any]) -> Iterator[object]:
    """A list or mapping in YAML or JSON; a list also as names between commas."""
    if text.startswith(("[", "{")):
        try:
            yield yaml.safe_load(text)
        except yaml.YAMLError:
            return
    elif kinds & _COLLECTIONS and str not in kinds:
        yield [part.strip() for part in text.split(",")] if text else []
