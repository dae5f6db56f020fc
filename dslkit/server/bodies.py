"""JSON from strangers: what Python's reader lets pass and other programs choke on is refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from dslkit.server.problems import ProblemError


def json_of(text: bytes) -> Any:
    """The value; a ProblemError for what is not JSON, nested too deeply, or holds NaN or half a character."""
    try:
        value = json.loads(text.decode(), parse_constant=_no_number)
        if b"\\ud" in text or b"\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ProblemError(400, "The body is nested too deeply.") from None
    except UnicodeError:
        raise ProblemError(400, "The body is not UTF-8 text.") from None
    except ValueError as error:
        raise ProblemError(400, f"The body is not JSON: {error}") from None
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")
