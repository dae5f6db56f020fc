"""Values that must never be parameters: papermill writes those into the output notebook, in plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_NAMES = re.compile(
    r"(^|_)(api_?key|access_?key|private_?key|secret(_?key)?|token|passw(or)?d|passphrase|credentials?|auth)$",
    re.IGNORECASE,
)
_VALUES = re.compile(
    r"""\b(
        sk-[\w-]{16,} | gh[pousr]_\w{20,} | github_pat_\w{20,} | xox[abprs]-[\w-]{10,}
        | AKIA[0-9A-Z]{16} | AIza[\w-]{30,}
        | hf_\w{20,} | eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+
    )""",
    re.VERBOSE,
)
_BEARER = re.compile(r"\bBearer\s+\S{8,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|://[^/\s:@]+:[^/\s@]+@")
_SHORTEST = 8


def find_secrets(parameters: Mapping[str, object], environment: Mapping[str, str]) -> Iterator[str]:
    """The names of the parameters that look like a secret: by name, by form, or equal to one in the environment."""
    held = secret_values(environment)
    for name, value in parameters.items():
        named = bool(_NAMES.search(name)) and isinstance(value, str) and value != ""
        if named or any(_secret_text(text, held) for text in _texts(value)):
            yield name
        elif isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner in find_secrets({str(k): v for k, v in value.items()}, environment))


def secret_values(environment: Mapping[str, str]) -> frozenset[str]:
    """Values of environment variables whose names say that they are secret."""
    return frozenset(value for name, value in environment.items() if _NAMES.search(name) and len(value) >= _SHORTEST)


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """The text with everything that looks like a secret blacked out; for error messages that are kept."""
    for value in secret_values(environment):
        text = text.replace(value, "***")
    return _BEARER.sub("***", _VALUES.sub("***", text))


def _secret_text(text: str, held: frozenset[str]) -> bool:
    return text in held or bool(_VALUES.search(text) or _BEARER.search(text))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)
