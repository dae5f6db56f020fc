"""Text that may come from a server or a request is stored without keys and Authorization headers."""

from __future__ import annotations

import re

MESSAGE_CHARACTERS = 500

_SECRET = re.compile(
    r"""(?ix)
      # keys by their prefix
      \b(?:sk|pk|rk|gsk|hf|xai|ghp|gho|github_pat|AIza|AKIA|r8|pplx|tgp|ak)[-_]?[A-Za-z0-9][\w\-*.]{7,}
    | \b(?:bearer|basic)\s+[\w\-.~+/=*]{6,}                                      # credentials of a header
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)                                           # user:password@ in a URL
    | (?<![\w])(?:api[-_ ]?key|x-api-key|authorization|password|secret|token)["']?\s*[:=]\s*["']?
      (?:(?:bearer|basic)\s+)?[^\s"',;&]{6,}
    | \beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*                                          # a JSON web token
    """
)
REMOVED = "[removed]"


def redact(text: str) -> str:
    """The text without anything that looks like a credential."""
    return _SECRET.sub(REMOVED, text)


def short_message(text: str | None) -> str | None:
    """A message fit for the ledger: one that explains, without secrets, at most 500 characters."""
    if not text:
        return None
    clean = redact(text)  # first, so that a cut never leaves half a key that no longer looks like one
    return clean if len(clean) <= MESSAGE_CHARACTERS else clean[: MESSAGE_CHARACTERS - 1] + "…"
