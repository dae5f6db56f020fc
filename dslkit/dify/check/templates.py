"""Layer: Jinja templates - parsed, never run."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dslkit.dify.check.report import named
from dslkit.dify.nodes import mappings

if TYPE_CHECKING:
    from dslkit.dify.check.report import Report
    from dslkit.dify.graph import Node

MAX_TEMPLATE: Final = 100_000
_MAX_RANGE: Final = 100_000
_ENVIRONMENT: Final = ImmutableSandboxedEnvironment()
_GLOBALS: Final = frozenset(_ENVIRONMENT.globals)
_BLOCK_NAMES: Final = frozenset({"loop", "caller", "varargs", "kwargs", "self", "super"})  # given inside blocks
_DIFY_REFERENCE: Final = re.compile(r"\{\{#.{0,200}?#\}\}", re.DOTALL)


class TemplateFaultError(ValueError):
    """The template cannot be rendered, whatever its variables are."""


def check_templates(report: Report) -> None:
    """Every template node, and prompts written in Jinja."""
    for node in report.graph.nodes.values():
        if node.type == "template-transform" and isinstance(node.data.get("template"), str):
            _check(node, node.data["template"], _variables(node.data.get("variables")), "template", report)
        elif node.type == "llm":
            _prompts(node, report)


def _variables(entries: object) -> frozenset[str]:
    return frozenset(str(entry["variable"]) for entry in mappings(entries) if "variable" in entry)


def _prompts(node: Node, report: Report) -> None:
    config = node.data.get("prompt_config")
    variables = _variables(config.get("jinja2_variables")) if isinstance(config, dict) else frozenset()
    for index, message in enumerate(mappings(node.data.get("prompt_template"))):
        text = message.get("jinja2_text")
        if message.get("edition_type") == "jinja2" and isinstance(text, str):
            _check(node, text, variables, f"prompt_template/{index}/jinja2_text", report)


def _check(node: Node, template: str, variables: frozenset[str], path: str, report: Report) -> None:
    if _DIFY_REFERENCE.search(template):
        message = f"{named(node)} has {{{{#…#}}}} in a Jinja template, where it means a comment."
        report.error("template-reference", message, "Add the value to variables and write {{ name }}.", node, path)
        template = _DIFY_REFERENCE.sub("", template)
    try:
        unknown = names_missing(template, variables)
    except TemplateFaultError as fault:
        report.error("template-fault", f"The template of {named(node)}: {fault}.", "Correct the template.", node, path)
        return
    for name in unknown:
        message = f"The template of {named(node)} uses {name}, which is not among its variables."
        remedy = f"Add {name} to variables, or use one of: {', '.join(sorted(variables)) or 'none'}."
        report.error("template-variable", message, remedy, node, path)


def names_missing(template: str, variables: frozenset[str]) -> tuple[str, ...]:
    """Names that a template uses and nobody gives it, sorted.  Raises TemplateFaultError when it cannot be rendered."""
    return tuple(sorted(_names(template) - variables - _GLOBALS))


@lru_cache(maxsize=256)
def _names(template: str) -> frozenset[str]:
    if len(template) > MAX_TEMPLATE:
        raise TemplateFaultError(f"it is longer than {MAX_TEMPLATE:,} characters")
    try:
        tree = _ENVIRONMENT.parse(template)
        _reject_unsafe(tree)
        return _loaded(tree)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateFaultError(f"{error.message} (line {error.lineno})") from None
    except jinja2.TemplateError as error:
        raise TemplateFaultError(str(error)) from None
    except RecursionError:
        raise TemplateFaultError("it is nested too deeply") from None


def _loaded(tree: nodes.Template) -> frozenset[str]:
    """Names read but never set.

    Jinja's own ``find_undeclared_variables`` would compute constant expressions on the way, however long that takes.
    """
    loaded: set[str] = set()
    stored = set(_BLOCK_NAMES)
    foreseen = _foreseen(tree)
    for name in tree.find_all(nodes.Name):
        if id(name) not in foreseen:
            (loaded if name.ctx == "load" else stored).add(name.name)
    stored |= {macro.name for macro in tree.find_all(nodes.Macro)}
    return frozenset(loaded - stored)


def _foreseen(tree: nodes.Template) -> set[int]:
    """Names that may be missing: ``name | default(…)`` and ``name is defined``."""
    tests = (test.node for test in tree.find_all(nodes.Test) if test.name in ("defined", "undefined"))
    filters = (part.node for part in tree.find_all(nodes.Filter) if part.name in ("default", "d"))
    return {id(node) for node in (*tests, *filters) if isinstance(node, nodes.Name)}


def _reject_unsafe(tree: nodes.Template) -> None:
    for filtered in tree.find_all(nodes.Filter):
        if filtered.name not in _ENVIRONMENT.filters:
            raise TemplateFaultError(f"there is no filter {filtered.name!r} (line {filtered.lineno})")
    for test in tree.find_all(nodes.Test):
        if test.name not in _ENVIRONMENT.tests:
            raise TemplateFaultError(f"there is no test {test.name!r} (line {test.lineno})")
    for attribute in tree.find_all(nodes.Getattr):
        if attribute.attr.startswith("_"):
            raise TemplateFaultError(
                f"it reaches for {attribute.attr}, which the sandbox refuses (line {attribute.lineno})"
            )
    for part in tree.find_all((nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends)):
        raise TemplateFaultError(f"there are no other templates to use (line {part.lineno})")
    for call in tree.find_all(nodes.Call):
        _reject_endless(call)


def _reject_endless(call: nodes.Call) -> None:
    if not isinstance(call.node, nodes.Name) or call.node.name != "range":
        return
    bounds: list[Any] = [argument.value for argument in call.args if isinstance(argument, nodes.Const)]
    if any(isinstance(bound, int) and abs(bound) > _MAX_RANGE for bound in bounds):
        raise TemplateFaultError(f"range() counts further than {_MAX_RANGE:,} (line {call.lineno})")
