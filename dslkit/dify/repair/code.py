"""Code nodes: code escaped once too often, returned and declared outputs that differ, arguments by another name."""

from __future__ import annotations

import ast
import textwrap
from typing import TYPE_CHECKING, Final

from dslkit.dify.check.code import CodeFaultError, main_of
from dslkit.dify.nodes import is_one_of, mappings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding

_ESCAPES: Final = (("\\n", "\n"), ("\\t", "\t"), ('\\"', '"'), ("\\'", "'"))


def faults(mend: Mend, findings: Sequence[Finding]) -> None:
    """Take one level of escapes or indentation off code that then parses, and did not before."""
    for _, node in mend.nodes(findings):
        candidates = _candidates(node.data["code"]) if isinstance(node.data.get("code"), str) else ()
        better = next((candidate for candidate in candidates if _parses(candidate)), None)
        if better is not None:
            node.data["code"] = better
            mend.log("code-fault", "The code lost a level of escapes or indentation too many, and parses now.", node.id)


def _candidates(code: str) -> Iterator[str]:
    yield textwrap.dedent(code)
    unescaped = code
    for written, meant in _ESCAPES:
        unescaped = unescaped.replace(written, meant)
    yield unescaped
    yield code.replace("\\n", "\n").replace("\\t", "\t")
    yield code.expandtabs(4)


def _parses(code: str) -> bool:
    try:
        return main_of(code) is not None
    except CodeFaultError:
        return False


def returns(mend: Mend, findings: Sequence[Finding]) -> None:
    """Declare what main returns besides, with the type that its expression shows."""
    for _, node in mend.nodes(findings):
        declared = node.data.get("outputs")
        types = _returned_types(node.data["code"]) if isinstance(node.data.get("code"), str) else {}
        if not isinstance(declared, dict) or not set(declared) <= set(types):
            continue
        extra = {name: type_ for name, type_ in types.items() if name not in declared}
        if extra and all(extra.values()):
            declared |= {name: {"type": type_, "children": None} for name, type_ in extra.items()}
            mend.log("code-returns", f"{', '.join(extra)} is declared, for main returns it.", node.id)


def _returned_types(code: str) -> dict[str, str | None]:
    """The keys of main's only literal return and the types their expressions show; None where they show none."""
    tree = ast.parse(code)
    main = next((n for n in reversed(tree.body) if isinstance(n, ast.FunctionDef) and n.name == "main"), None)
    found = [n.value for n in ast.walk(main) if isinstance(n, ast.Return)] if main else []
    if main is None or len(found) != 1 or not isinstance(found[0], ast.Dict):
        return {}
    annotated = {a.arg: a.annotation for a in main.args.args}
    types: dict[str, str | None] = {}
    for key, value in zip(found[0].keys, found[0].values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            types[key.value] = _type_shown(value, annotated)
    return types


def _type_shown(value: ast.expr, annotated: dict[str, ast.expr | None]) -> str | None:
    if isinstance(value, ast.Name):
        annotation = annotated.get(value.id)
        return _ANNOTATED.get(annotation.id) if isinstance(annotation, ast.Name) else None
    return next((type_ for type_, shows in _SHOWN.items() if shows(value)), None)


def _shows_string(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=str()) | ast.JoinedStr() | ast.Call(func=ast.Name(id="str")):
            return True
        case ast.Call(func=ast.Attribute(attr="join" | "strip" | "replace" | "lower" | "upper" | "format")):
            return True
        case _:
            return False


def _shows_number(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=bool()):
            return False
        case ast.Constant(value=int() | float()) | ast.Call(func=ast.Name(id="len" | "int" | "float" | "sum")):
            return True
        case _:
            return False


_ANNOTATED: Final = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "dict": "object"}
_SHOWN: Final[Mapping[str, Callable[[ast.expr], bool]]] = {
    "boolean": lambda value: isinstance(value, ast.Constant) and isinstance(value.value, bool),
    "string": _shows_string,
    "number": _shows_number,
    "object": lambda value: isinstance(value, ast.Dict),
}


def arguments(mend: Mend, findings: Sequence[Finding]) -> None:
    """Call a variable as main calls it, where one is given by another name."""
    for node in mend.each_node(findings):
        code = node.data.get("code")
        main = main_of(code) if isinstance(code, str) and _parses(code) else None
        variables = mappings(node.data.get("variables"))
        given = {str(entry.get("variable")) for entry in variables}
        wanted = sorted(main.required - given) if main else []
        spare = [entry for entry in variables if main and not is_one_of(entry.get("variable"), main.accepted)]
        if len(wanted) == len(spare) == 1 and isinstance(spare[0], dict):
            was, spare[0]["variable"] = spare[0].get("variable"), wanted[0]
            mend.log("code-argument", f"{was} is given as {wanted[0]}, as main calls it.", node.id)
