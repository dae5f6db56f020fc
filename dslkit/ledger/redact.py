"""Text that may come from a server or a request is stored without keys and Authorization headers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MESSAGE_CHARACTERS = 500

_PREFIX = r"(?:(?:sk|pk|rk|gsk|hf|xai|ghp|gho|github_pat|r8|pplx|tgp|ak)[-_]|AIza|AKIA)"  # of keys
_SECRET = re.compile(
    rf"""(?ix)
      \b{_PREFIX}[A-Za-z0-9][\w\-*.]{{7,}}
    | \b(?:bearer|basic)\s+[\w\-.~+/=*]{{6,}}                                      # credentials of a header
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)                                           # user:password@ in a URL
    | (?<![\w])(?:api[-_ ]?key|x-api-key|authorization|password|secret|token)["']?\s*[:=]\s*["']?
      (?:(?:bearer|basic)\s+)?[^\s"',;&]{{6,}}
    | \beyJ[\w-]{{8,}}\.[\w-]{{8,}}\.[\w-]*                                          # a JSON web token
    """
)
_PLAIN_ID = re.compile(
    rf"(?i)(?:(?!{_PREFIX}|eyJ)[0-9a-z]++[-_]?+)++"
)  # as servers number answers: nothing to look for
_SECRET_NAME = re.compile(r"(?i)(?:api[-_ ]?key|authorization|password|secret|access[-_ ]token)$")
REMOVED = "[removed]"


def redact(text: str) -> str:
    """The text without anything that looks like a credential."""
    return _SECRET.sub(REMOVED, text)


@lru_cache(maxsize=4096)
def redact_label(text: str) -> str:
    """As ``redact``, for names and ids: short, and mostly harmless at a glance."""
    return text if _PLAIN_ID.fullmatch(text) else redact(text)


def redact_values(value: Any) -> Any:
    """JSON without what looks like a credential, or is named as one; its form stays."""
    if isinstance(value, Mapping):
        return {name: redact_values(REMOVED if _is_named(name, inner) else inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_values(inner) for inner in value]
    return redact(value) if isinstance(value, str) else value


def _is_named(name: object, value: object) -> bool:
    return isinstance(value, str) and _SECRET_NAME.search(str(name)) is not None


def redact_body(content: bytes) -> str:
    """The body of a request or response, which JSON stays if it was."""
    text = content.decode(errors="replace")
    try:
        return json.dumps(redact_values(json.loads(text)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return redact(text)


def short_message(text: str | None) -> str | None:
    """A message fit for the ledger: one that explains, without secrets, at most 500 characters."""
    if not text:
        return None
    clean = redact(text)  # first, so that a cut never leaves half a key that no longer looks like one
    return clean if len(clean) <= MESSAGE_CHARACTERS else clean[: MESSAGE_CHARACTERS - 1] + "…"
