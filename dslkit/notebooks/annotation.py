"""What the annotation of a parameter means, read from its syntax tree: nothing of the notebook is executed.

A name is taken by its last part, so ``Path`` and ``pathlib.Path`` are the same.  What is not known here has no type and
is not checked.
"""

from __future__ import annotations

import ast
import datetime as dt
import functools
import operator
import pathlib
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, Union

import annotated_types
from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SIMPLE: Mapping[str, Any] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "list": list,
    "dict": dict,
    "tuple": tuple,
    "set": set,
    "List": list,
    "Dict": dict,
    "Sequence": list,
    "Mapping": dict,
    "Path": pathlib.Path,
    "date": dt.date,
    "datetime": dt.datetime,
    "time": dt.time,
    "timedelta": dt.timedelta,
    "Decimal": Decimal,
    "Any": Any,
}
_SPECIAL: Mapping[str, Any] = {"Literal": Literal, "Optional": Optional, "Union": Union, "Annotated": Annotated}
_CONSTRAINTS: Mapping[str, Callable[..., Any]] = {
    "Field": Field,
    **{
        name: getattr(annotated_types, name) for name in ("Ge", "Gt", "Le", "Lt", "Interval", "Len", "MinLen", "MaxLen")
    },
}
CONSTRUCTORS = ("Path", "date", "datetime", "time", "timedelta", "Decimal")


class UnreadableError(Exception):
    """The expression is none that this module knows; not an error of the user."""


def type_of(node: ast.expr) -> Any:
    """The type an annotation stands for, ready for pydantic.

    Raises:
        UnreadableError: the annotation uses names or forms unknown here.
    """
    match node:
        case ast.Constant(value=None):
            return NoneType
        case ast.Constant(value=str() as quoted):
            return type_of(ast.parse(quoted, mode="eval").body)
        case ast.Name() | ast.Attribute():
            return _known(SIMPLE, node)
        case ast.BinOp(op=ast.BitOr()):
            return functools.reduce(operator.or_, (type_of(node.left), type_of(node.right)))
        case ast.Subscript():
            return _subscripted(node)
    raise UnreadableError


def value_of(node: ast.expr) -> Any:
    """The value of a default: a literal, or one of the CONSTRUCTORS called with literals.

    Raises:
        UnreadableError: it is neither.
    """
    try:
        if isinstance(node, ast.Call) and last_name(node.func) in CONSTRUCTORS:
            return _called(SIMPLE, node)
        return ast.literal_eval(node)
    except (ValueError, TypeError, ArithmeticError):
        raise UnreadableError from None


def last_name(node: ast.expr) -> str:
    """``date`` of ``datetime.date``; empty when the expression is no name."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def spellings(tree: ast.AST) -> dict[type, str]:
    """How the notebook itself spells each type it names, so that injected code can use the same name."""
    return {
        SIMPLE[last_name(node)]: ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute) and last_name(node) in CONSTRUCTORS
    }


def _known(table: Mapping[str, Any], node: ast.expr) -> Any:
    try:
        return table[last_name(node)]
    except KeyError:
        raise UnreadableError from None


def _subscripted(node: ast.Subscript) -> Any:
    inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    match last_name(node.value):
        case "Literal":
            return Literal[tuple(value_of(each) for each in inside)]
        case "Annotated":
            return Annotated[(type_of(inside[0]), *(_constraint(each) for each in inside[1:]))]
        case _:
            generic = _known({**SIMPLE, **_SPECIAL}, node.value)
            arguments = tuple(... if _is_ellipsis(each) else type_of(each) for each in inside)
            return generic[arguments if len(arguments) > 1 else arguments[0]]


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _constraint(node: ast.expr) -> Any:
    """A text of documentation passes as it is; everything else must be a known constraint."""
    if isinstance(node, ast.Call):
        return _called(_CONSTRAINTS, node)
    return value_of(node)


def _called(table: Mapping[str, Any], node: ast.Call) -> Any:
    function = _known(table, node.func)
    arguments = [ast.literal_eval(each) for each in node.args]
    return function(*arguments, **{each.arg: ast.literal_eval(each.value) for each in node.keywords if each.arg})
