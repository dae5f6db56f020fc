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
    r"\{\{\{?\s{0,9}(?:#\s{0,9}(?P<word>each|if|unless)\s{1,9}(?P<of>[\w.]{1,99})|(?P<mark>[#^])(?P<name>[\w.]{1,99})"
    r"|/(?P<end>[\w.]{1,99})|(?P<value>else|this(?:\.\w{1,99})?|\.|@?[a-z_]\w{0,99}))\s{0,9}\}\}\}?"
)
_JINJA_LOOP: Final = {"@index": "loop.index0", "index": "loop.index", "@first": "loop.first", "@last": "loop.last"}


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
    entry = "item" if "item" not in own else "entry"
    opened: list[tuple[str, str]] = []

    def jinja(match: re.Match[str]) -> str:
        found = match.groupdict()
        name, end, value = found["of"] or found["name"], found["end"], found["value"]
        if name:
            repeats = found["word"] == "each" or (found["mark"] == "#" and is_list(name))
            block = "for" if repeats else "if"
            opposite = "not " if found["word"] == "unless" or found["mark"] == "^" else ""
            opened.append((found["word"] or name, block))
            return f"{{% {block} {f'{entry} in ' if repeats else opposite}{_of_entry(name, entry)} %}}"
        if end:
            if not opened or opened[-1][0] != end:
                raise ValueError(end)
            return f"{{% end{opened.pop()[1]} %}}"
        if value == "else":
            return "{% else %}" if opened else match.group()
        in_loop = any(block == "for" for _, block in opened)
        return f"{{{{ {_value(value, entry, own)} }}}}" if in_loop else match.group()

    try:
        translated = _SECTION.sub(jinja, text)
    except ValueError:
        return text
    return text if opened else translated


def _of_entry(name: str, entry: str) -> str:
    return entry + name[4:] if name == "this" or name.startswith("this.") else name


def _value(name: str, entry: str, own: Container[str]) -> str:
    if name in own or name == entry:
        return name
    if name == "." or name.startswith("this"):
        return entry if name == "." else _of_entry(name, entry)
    return _JINJA_LOOP.get(name) or f"{entry}.{name}"
