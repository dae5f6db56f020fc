"""The rules of alerts: a TOML file, checked; what is wrong with it is said with its line."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_AGE = re.compile(r"(\d+)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_HEADER = re.compile(r"\s*\[\[?\s*([\w-]+)\s*\]\]?")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*=""")
_POSITION = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)")
_ENTRY = re.compile(r"[A-Za-z_]\w*")


def _age(value: object) -> object:
    """``"90m"``, ``"1h"``, ``"7d"``."""
    found = _AGE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError('write an age such as "30m", "1h" or "7d"')
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _variable(value: object) -> object:
    """The name of an environment variable, never a secret itself; what was written instead is not repeated."""
    if not isinstance(value, str) or not _ENTRY.fullmatch(value):
        raise ValueError("name an environment variable that holds it; the value itself does not belong in a file")
    return value


_Age = Annotated[timedelta, BeforeValidator(_age)]
_Variable = Annotated[str, BeforeValidator(_variable)]
_Usd = Annotated[Decimal, Field(gt=0)]
_Calls = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Named(_Strict):
    """``name`` is how messages and the state know the rule."""

    name: str = Field(min_length=1, max_length=80)


class Spend(_Named):
    """More USD than ``above_usd`` in a UTC day or month, or by one run that ran in the last day."""

    kind: Literal["spend"]
    per: Literal["day", "run", "month"]
    above_usd: _Usd


class Spike(_Named):
    """Today's spend is more than ``deviations`` robust standard deviations above the usual of the days before."""

    kind: Literal["spike"]
    days: int = Field(default=28, ge=7, le=366)
    deviations: float = Field(default=4.0, gt=0, allow_inf_nan=False)
    at_least_usd: _Usd = Decimal(1)


class Latency(_Named):
    """95 % of answers took no longer than this many seconds, and now they do."""

    kind: Literal["latency"]
    p95_above_s: float = Field(gt=0, allow_inf_nan=False)
    within: _Age = timedelta(hours=1)
    at_least_calls: _Calls = 20


class Errors(_Named):
    """A greater share of attempts than ``above`` failed."""

    kind: Literal["errors"]
    above: float = Field(ge=0, lt=1)
    within: _Age = timedelta(hours=1)
    at_least_calls: _Calls = 20


class UnknownPrices(_Named):
    """Tokens were used whose price is not known, so that spend is more than it seems."""

    kind: Literal["unknown_prices"]
    within: _Age = timedelta(days=1)


class MissedSchedule(_Named):
    """A scheduled run did not begin."""

    kind: Literal["missed_schedule"]
    within: _Age = timedelta(days=1)


Rule = Annotated[
    Spend | Spike | Latency | Errors | UnknownPrices | MissedSchedule,
    Field(discriminator="kind"),
]


class Webhook(_Strict):
    """Takes JSON as Slack does.  The address is a credential, so the file only names the variable that holds it."""

    url_env: _Variable


class Email(_Strict):
    """A mail server.  ``security`` is ``none`` for a server on this machine only."""

    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: str = Field(min_length=3)
    to: tuple[str, ...] = Field(min_length=1)
    user_env: _Variable | None = None
    password_env: _Variable | None = None


class Rules(_Strict):
    """A whole file: ``[[rule]]`` for each rule, ``[webhook]`` and ``[email]`` for where messages go."""

    rule: tuple[Rule, ...] = Field(min_length=1)
    webhook: Webhook | None = None
    email: Email | None = None


def read_rules(path: Path) -> Rules:
    """The rules in a file.

    Raises:
        UsageError: there is no such file, or something is wrong with it; names each line and the reason.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise UsageError(f"There are no alert rules in {path}. Write some: see docs/alerts.md.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}, {_torn(str(error), text)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None
    try:
        rules = Rules.model_validate(values)
    except ValidationError as error:
        raise UsageError("\n".join(_wrong(path, text, error))) from None
    _require_different(path, text, rules)
    return rules


def _torn(message: str, text: str) -> str:
    found = _POSITION.fullmatch(message)
    if found is None:
        return message
    return f"line {found[2] or len(text.splitlines())}: {found[1]}."


def _wrong(path: Path, text: str, error: ValidationError) -> list[str]:
    """One sentence for each mistake.  Values are not shown: one may be a secret in the wrong place."""
    problems = error.errors(include_input=False, include_url=False)
    places = [problem["loc"] + ("kind",) * problem["type"].startswith("union_tag") for problem in problems]
    return [
        f"{path}, line {_line_of(text, place)}: {_place(place)}{_reason(problem)}."
        for place, problem in zip(places, problems, strict=True)
    ]


def _reason(problem: Any) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return "is not known here"
    return message[0].lower() + message[1:]


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
    key = rest[-1] if rest and isinstance(rest[-1], str) else None
    headers = 0
    inside, best = False, 1
    for at, line in enumerate(text.splitlines(), start=1):
        header, entry = _HEADER.match(line), _KEY.match(line)
        if header:
            inside = header[1] == table and headers == number
            headers += header[1] == table
            best = at if inside else best
        elif entry and ((inside and entry[1] == key) or (not headers and entry[1] == table)):
            return at
    return best
