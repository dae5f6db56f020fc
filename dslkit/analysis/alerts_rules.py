"""The rules of alerts, and where messages go: what a rules file may say."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from email.utils import getaddresses
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_AGE = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_OLDEST = timedelta(days=366)
_ENTRY = re.compile(r"[A-Za-z_]\w*")
_MAILBOX = re.compile(r"[^\s@]+@[^\s@]+")
_HOST = re.compile(r"[\w.:-]+")


def _age(value: object) -> object:
    """``"90m"``, ``"1h"``, ``"7d"``."""
    found = _AGE.fullmatch(value.strip()) if isinstance(value, str) else None
    age = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < age <= _OLDEST:
        raise ValueError(f'write an age such as "30m", "1h" or "7d", of {_OLDEST.days}d at most')
    return age


def _variable(value: object) -> object:
    """The name of an environment variable, never a secret itself; what was written instead is not repeated."""
    if not isinstance(value, str) or not _ENTRY.fullmatch(value):
        raise ValueError("name an environment variable that holds it; the value itself does not belong in a file")
    return value


def _line(value: str) -> str:
    """It goes into the subject of a message."""
    if not value.isprintable():
        raise ValueError("write one line of plain text")
    return value


def _mailbox(value: str) -> str:
    """It goes into the head of a message, where a line break would begin another header."""
    found = getaddresses([value])
    if not value.isprintable() or len(found) != 1 or not _MAILBOX.fullmatch(found[0][1]):
        raise ValueError('write one address such as "team@example.org"')
    return value


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError('write the name of a host such as "smtp.example.org"')
    return value


_Age = Annotated[timedelta, BeforeValidator(_age)]
_Variable = Annotated[str, BeforeValidator(_variable)]
_Mailbox = Annotated[str, AfterValidator(_mailbox)]
_Usd = Annotated[Decimal, Field(gt=0)]
_Calls = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Named(_Strict):
    """``name`` is how messages and the state know the rule."""

    name: Annotated[str, AfterValidator(_line)] = Field(min_length=1, max_length=80)


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

    host: Annotated[str, AfterValidator(_host)]
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: _Mailbox
    to: tuple[_Mailbox, ...] = Field(min_length=1)
    user_env: _Variable | None = None
    password_env: _Variable | None = None


class Rules(_Strict):
    """A whole file: ``[[rule]]`` for each rule, ``[webhook]`` and ``[email]`` for where messages go."""

    rule: tuple[Rule, ...] = Field(min_length=1)
    webhook: Webhook | None = None
    email: Email | None = None
