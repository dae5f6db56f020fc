"""Layer: code nodes - their code parsed, never run."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from dslkit.dify.check.report import named
from dslkit.dify.nodes import mappings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dslkit.dify.check.report import Report
    from dslkit.dify.graph import Node

MAX_CODE: Final = 100_000
_JAVASCRIPT_MAIN: Final = re.compile(r"\b(?:function\s+main\b|main\s*=)")


@dataclass(frozen=True, slots=True)
class Main:
    """What is known of ``def main`` without running it.  ``returns`` is None where a return is no literal dict."""

    required: frozenset[str]
    accepted: frozenset[str]
    takes_any: bool
    returns: tuple[frozenset[str], ...] | None


class CodeFaultError(ValueError):
    """The code cannot run, whatever it is given."""


def check_code(report: Report) -> None:
    """Every code node."""
    for node in report.graph.nodes.values():
        code = node.data.get("code")
        if node.type != "code" or code is None:
            continue
        if not isinstance(code, str) or not code.strip():
            report.error(
                "code-empty", f"{named(node)} has no code.", "Write def main(…) that returns a dict.", node, "code"
            )
        elif node.data.get("code_language") == "javascript":
            _javascript(node, code, report)
        else:
            _python(node, code, report)


def _javascript(node: Node, code: str, report: Report) -> None:
    if not _JAVASCRIPT_MAIN.search(code):
        report.error(
            "code-main", f"The code of {named(node)} has no function main.", "Write function main({…}).", node, "code"
        )


def _python(node: Node, code: str, report: Report) -> None:
    try:
        main = main_of(code)
    except CodeFaultError as fault:
        report.error("code-fault", f"The code of {named(node)}: {fault}.", "Correct the code.", node, "code")
        return
    if main is None:
        report.error("code-main", f"The code of {named(node)} defines no main.", "Write def main(…).", node, "code")
        return
    _arguments(node, main, report)
    _returns(node, main, report)


def _arguments(node: Node, main: Main, report: Report) -> None:
    given = {str(variable["variable"]) for variable in mappings(node.data.get("variables")) if "variable" in variable}
    for name in sorted(main.required - given):
        message = f"main of {named(node)} wants {name}, which is not among the node's variables."
        remedy = f"Add {name} to variables or take it out of main's parameters."
        report.error("code-argument", message, remedy, node, "variables")
    for name in sorted(given - main.accepted) if not main.takes_any else ():
        message = f"main of {named(node)} does not take {name}, which the node gives it."
        remedy = f"Add {name} to main's parameters or take it out of variables."
        report.error("code-argument", message, remedy, node, "variables")


def _returns(node: Node, main: Main, report: Report) -> None:
    declared = node.data.get("outputs")
    if main.returns is None or not isinstance(declared, dict):
        return
    wanted = frozenset(map(str, declared))
    if any(returned == wanted for returned in main.returns):
        if any(returned != wanted for returned in main.returns):
            message = f"main of {named(node)} does not always return {', '.join(sorted(wanted))}."
            remedy = "Return every declared output, and nothing else, from every return."
            report.warning("code-returns-vary", message, remedy, node, "code")
        return
    returned = main.returns[0] if main.returns else frozenset()
    report.error(
        "code-returns",
        f"main of {named(node)} returns {', '.join(sorted(returned)) or 'nothing'}; "
        f"declared are {', '.join(sorted(wanted)) or 'none'}.",
        "Declare exactly what main returns.",
        node,
        "outputs",
    )


@lru_cache(maxsize=256)
def main_of(code: str) -> Main | None:
    """``def main`` of some Python; None when there is none.  Raises CodeFaultError when it does not parse."""
    if len(code) > MAX_CODE:
        raise CodeFaultError(f"it is longer than {MAX_CODE:,} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in somebody's string is not our warning
            tree = ast.parse(code)
    except SyntaxError as error:
        raise CodeFaultError(f"{error.msg} (line {error.lineno})") from None
    except (ValueError, RecursionError, MemoryError):
        raise CodeFaultError("it cannot be parsed") from None
    found = next((n for n in reversed(tree.body) if isinstance(n, ast.FunctionDef) and n.name == "main"), None)
    return _signature(found) if found else None


def _signature(function: ast.FunctionDef) -> Main:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    optional = {argument.arg for argument in positional[len(positional) - len(arguments.defaults) :]}
    optional |= {a.arg for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None}
    names = {argument.arg for argument in (*positional, *arguments.kwonlyargs)}
    return Main(
        required=frozenset(names - (optional if arguments.defaults or arguments.kwonlyargs else set())),
        accepted=frozenset(names),
        takes_any=arguments.kwarg is not None,
        returns=_returned(function),
    )


def _returned(function: ast.FunctionDef) -> tuple[frozenset[str], ...] | None:
    """The keys of each ``return {…}``; None when one returns anything else."""
    found = []
    for statement in _own_statements(function):
        if isinstance(statement, ast.Return):
            keys = _literal_keys(statement.value)
            if keys is None:
                return None
            found.append(keys)
    return tuple(found)


def _own_statements(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """What a function executes itself, not what functions inside it do."""
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))


def _literal_keys(value: ast.expr | None) -> frozenset[str] | None:
    if not isinstance(value, ast.Dict):
        return None
    keys = [key.value for key in value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    return frozenset(keys) if len(keys) == len(value.keys) else None
