"""Templates in Jinja's neighbours' words, put into Jinja's: Python's functions, Handlebars' sections, idle filters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Container

_IDLE_FILTERS: Final = re.compile(r"\|[ \t]{0,9}(?:markdown|markdownify)\b(?:\(\))?")
_CALLS: Final = {"len": "length", "sum": "sum", "str": "string", "int": "int", "float": "float", "abs": "abs"}
_CALL: Final = re.compile(r"\b(len|sum|str|int|float|abs)\(([\w.]+)\)")
_PAIRS: Final = re.compile(
    r"\{%(-?) *for +(\w+) *, *(\w+) +in +"
    r"(?:zip\( *([\w.]+) *, *([\w.]+) *\)|([\w.]+) *\| *zip\( *([\w.]+) *\)) *(-?)%\}"
)
_NUMBERED: Final = re.compile(
    r"\{%(-?) *for +(\w+) *, *(\w+) +in +enumerate\( *([\w.]+) *(?:, *(?:start *= *)?([01]) *)?\) *(-?)%\}"
)
_SECTION: Final = re.compile(
    r"\{\{\{?\s{0,9}([#/]?)\s{0,9}(?:(each|if)\s{1,9}(?=[\w.]))?(@?[\w.]{1,99})\s{0,9}\}\}\}?"
)  # sign, helper, name
_IN_LOOP: Final = {"this": "item", ".": "item", "item": "item", "@index": "loop.index0", "index": "loop.index"}


def calls(text: str, own: Container[str]) -> str:
    """``len(x)`` -> ``(x|length)``, unless ``own`` names a variable so; loops over ``zip`` and ``enumerate``."""
    text = _CALL.sub(lambda m: m.group() if m.group(1) in own else f"({m.group(2)}|{_CALLS[m.group(1)]})", text)
    return _NUMBERED.sub(_numbered, _PAIRS.sub(_paired, text))


def _paired(match: re.Match[str]) -> str:
    """``for a, b in zip(xs, ys)``: as many passes as the shorter one has entries."""
    before, first, second, *lists, after = match.groups()
    one, other = (entry for entry in lists if entry)
    return f"{{%{before} for {first} in {one}[:{other}|length] %}}{{% set {second} = {other}[loop.index0] {after}%}}"


def _numbered(match: re.Match[str]) -> str:
    before, number, entry, entries, start, after = match.groups()
    counted = "loop.index" if start == "1" else "loop.index0"
    return f"{{%{before} for {entry} in {entries} %}}{{% set {number} = {counted} {after}%}}"


def plain(text: str) -> str:
    """``{{% … %}}``, braces doubled once too often, is a block; a filter to mark text as Markdown is not needed."""
    return _IDLE_FILTERS.sub("", text.replace("{{%", "{%").replace("%}}", "%}"))


def handlebars(text: str, own: Container[str], is_list: Callable[[str], bool]) -> str:
    """``{{#each xs}}{{this}}{{/each}}``, ``{{#xs}}…{{/xs}}``, ``{{#if x}}…{{else}}…{{/if}}`` as Jinja.

    Args:
        text: the template.
        own: the names of its variables; others inside a loop are fields of the entry.
        is_list: whether a variable holds a list, so that its section is a loop and not a condition.

    Returns:
        The template in Jinja, or as it was when its sections do not close.
    """
    opened: list[tuple[str, str]] = []  # what closes a section, and Jinja's block

    def jinja(match: re.Match[str]) -> str:
        sign, helper, name = match.groups()
        if sign == "#":
            block = "for" if helper == "each" or (not helper and is_list(name)) else "if"
            opened.append((helper or name, block))
            return f"{{% {block} {'item in ' if block == 'for' else ''}{name.removeprefix('this.')} %}}"
        if sign:
            closes, block = opened.pop() if opened else ("", "")
            if closes != name:
                raise ValueError(name)
            return f"{{% end{block} %}}"
        if name == "else" and opened:
            return "{% else %}"
        if name in own or all(block != "for" for _, block in opened):
            return match.group()
        return f"{{{{ {_IN_LOOP.get(name) or 'item.' + name.removeprefix('this.')} }}}}"

    try:
        translated = _SECTION.sub(jinja, text)
    except ValueError:
        return text
    return text if opened else translated
