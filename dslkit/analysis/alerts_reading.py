"""A file of alert rules, read: what is wrong with it is said with its line and the reason."""

from __future__ import annotations

import difflib
import re
import tomllib
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from dslkit.analysis.alerts_rules import Email, Rule, Rules, Webhook
from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import BaseModel

_HEADER = re.compile(r"\s*\[\[?\s*([\w-]+)\s*\]\]?")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?(?:\s*\.\s*["']?([\w-]+)["']?)?\s*=""")
_POSITION = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)")
_KINDS: dict[str, type[BaseModel]] = {
    get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in get_args(get_args(Rule)[0])
}
_TABLES: dict[str, type[BaseModel]] = {**_KINDS, "webhook": Webhook, "email": Email}
_EXAMPLE = f"""Write some into that file, such as:

[[rule]]
name = "day's budget"
kind = "spend"
per = "day"
above_usd = 20

[[rule]]
name = "prices"
kind = "unknown_prices"

Kinds are {", ".join(_KINDS)}; what a rule of a kind lacks is said when it is read."""
_SAID = {
    "missing": "is missing",
    "union_tag_not_found": f"is missing: write one of {', '.join(_KINDS)}",
    "union_tag_invalid": f"is not one of {', '.join(_KINDS)}",
    "tuple_type": "write [[rule]], with two brackets, before each rule",
    "too_short": "write at least one",
}


def read_rules(path: Path) -> Rules:
    """The rules in a file.

    Raises:
        UsageError: there is no such file, or something is wrong with it; names each line and the reason.
    """
    text = _read(path)
    try:
        rules = Rules.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}, {_torn(str(error), text)}") from None
    except ValidationError as error:
        raise UsageError("\n".join(_wrong(path, text, error))) from None
    _require_different(path, text, rules)
    return rules


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There are no alert rules in {path}. {_EXAMPLE}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        return content.decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}: this is not UTF-8. Save the file as UTF-8.") from None


def _torn(message: str, text: str) -> str:
    found = _POSITION.fullmatch(message)
    if found is None:
        return message
    return f"line {found[2] or len(text.splitlines())}: {found[1]}."


def _wrong(path: Path, text: str, error: ValidationError) -> list[str]:
    """One sentence for each mistake.  Values are not shown: one may be a secret in the wrong place."""
    problems = error.errors(include_input=False, include_url=False)
    if len(problems) > 1:  # of what is wrong itself it is said, too, that there is too little of it
        problems = [problem for problem in problems if problem["type"] != "too_short"]
    places = [problem["loc"] + ("kind",) * problem["type"].startswith("union_tag") for problem in problems]
    return [
        f"{path}, line {_line_of(text, place)}: {_place(place)}{_reason(problem)}"
        for place, problem in zip(places, problems, strict=True)
    ]


def _reason(problem: Any) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"is not known here{_near(problem['loc'])}"
    if problem["loc"] == ("rule",) and problem["type"] == "missing":
        return "is missing: begin each rule with a line [[rule]]."
    return _SAID.get(problem["type"], message[0].lower() + message[1:]) + "."


def _near(location: Sequence[int | str]) -> str:
    """What was meant, perhaps."""
    table = _TABLES[str(location[-2])] if len(location) > 1 else Rules
    near = difflib.get_close_matches(str(location[-1]), table.model_fields, 1)
    return f"; did you mean {near[0]}?" if near else "."


def _place(location: Sequence[int | str]) -> str:
    names = [part for part in location if isinstance(part, str)]
    return f"{names[-1]}: " if len(names) > 1 or len(location) == 1 else ""


def _require_different(path: Path, text: str, rules: Rules) -> None:
    seen: set[str] = set()
    for index, rule in enumerate(rules.rule):
        if rule.name in seen:
            line = _line_of(text, ("rule", index, rule.kind, "name"))
            raise UsageError(f"{path}, line {line}: there is a rule {rule.name!r} already.")
        seen.add(rule.name)


def _line_of(text: str, location: Sequence[int | str]) -> int:
    """The line of a key, as ``("rule", 1, "spend", "above_usd")``; of its table where the key is missing."""
    table, *rest = location
    number = rest[0] if rest and isinstance(rest[0], int) else 0
    key = next((part for part in reversed(rest) if isinstance(part, str)), None)
    headers = 0
    inside, best = False, 1
    for at, line in enumerate(text.splitlines(), start=1):
        header, entry = _HEADER.match(line), _KEY.match(line)
        if header:
            inside = header[1] == table and headers == number
            headers += header[1] == table
            best = at if inside else best
        elif entry and ((inside and entry[1] == key) or (not headers and _begins(entry, table, key))):
            return at
    return best


def _begins(entry: re.Match[str], table: int | str, key: str | None) -> bool:
    """Whether a line before all tables is ``table = {…}`` or ``table.key = …``."""
    return entry[1] == table and entry[2] in {None, key}
