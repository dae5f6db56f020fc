"""JSON as language models write it: reads what can only be meant one way, and names each liberty it took.

One linear pass cuts the text into tokens, a second puts brackets right; the result goes through the standard parser.
Forgiven: comments, trailing or missing commas, single and smart quotes, raw line breaks in strings, bare words
(Python's ``None``, ``True``, ``False`` and unquoted keys), brackets that do not match, and a tail cut off.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CHARACTERS: Final = 2_000_000
MAX_DEPTH: Final = 100
_MAX_MENDED_BRACKETS: Final = 40

Forgiven = dict[str, str]  # code -> what was done, in the order met

_STRUCTURE: Final = re.compile(
    r"""(?P<space>\s+)
    |(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z)|\#[^\n]*)
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<punctuation>[{}\[\]:,()])
    |(?P<word>-?[\w.+-]+)""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\Z")
_WORDS: Final = {"None": "null", "True": "true", "False": "false", "null": "null", "true": "true", "false": "false"}
_QUOTES: Final = {"'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u201d": "\u201d", "`": "`", '"': '"'}
_OPENERS: Final = {"{": "}", "[": "]", "(": "]"}  # a Python tuple is a list
_CLOSERS: Final = frozenset("}])")
_PARENTHESIS: Final = "("
_COMMA: Final = ","
_COLON: Final = ":"
_ENDS_STRING: Final = re.compile(r"\s*(?:[,:}\])]|\Z|//|/\*)")


class LooseJsonError(ValueError):
    """Not readable in one way only; its text says where and why."""


def read(text: str) -> tuple[Any, Forgiven]:
    """Parse ``text``; raises LooseJsonError.  Linear in its length, which is bounded, as is the nesting."""
    if len(text) > MAX_CHARACTERS:
        raise LooseJsonError(f"longer than {MAX_CHARACTERS:,} characters")
    strict = _strict(text)
    if strict is not None:
        return strict[0], {}
    forgiven: Forgiven = {}
    tokens = list(_tokens(text, forgiven))
    if not tokens:
        raise LooseJsonError("no JSON in it")
    mended = _with_commas(_balanced(tokens, forgiven), forgiven)
    try:
        return json.loads(" ".join(mended)), forgiven
    except (ValueError, RecursionError) as error:
        raise LooseJsonError(str(error)) from None


def _strict(text: str) -> tuple[Any] | None:
    if _too_deep(text):
        raise LooseJsonError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        return (json.loads(text),)
    except (ValueError, RecursionError):
        return None


def _too_deep(text: str) -> bool:
    """Whether brackets nest deeper than allowed, brackets in strings aside (the parser would recurse on them)."""
    depth = 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[{\[]|[}\]]', text):
        first = match.group()[0]
        depth += first in "{["
        depth -= first in "}]"
        if depth > MAX_DEPTH:
            return True
    return False


def _tokens(text: str, forgiven: Forgiven) -> Iterator[str]:
    """JSON tokens; strings and words already in their strict form."""
    position = 0
    while position < len(text):
        if text[position] in _QUOTES and not _is_strict_string(text, position):
            token, position = _odd_string(text, position, forgiven)
            yield token
            continue
        match = _STRUCTURE.match(text, position)
        if match is None:
            forgiven.setdefault("stray-character", f"left out {text[position]!r}, which belongs to nothing")
            position += 1
            continue
        position = match.end()
        token = _strict_token(match, forgiven)
        if token:
            yield token


def _is_strict_string(text: str, position: int) -> bool:
    """A double-quoted string whose closing quote is followed by what may follow a value, with no raw line break."""
    match = _STRUCTURE.match(text, position)
    if match is None or match.lastgroup != "string" or not _ENDS_STRING.match(text, match.end()):
        return False
    return not any(character < " " for character in match.group())


def _odd_string(text: str, start: int, forgiven: Forgiven) -> tuple[str, int]:
    """A string in other quotes, with raw line breaks or unescaped quotes inside: ends at a quote before a separator."""
    opening = text[start]
    closing = _QUOTES[opening]
    if opening != '"':
        forgiven.setdefault("quotes", f"read strings in {opening} as JSON strings")
    parts: list[str] = []
    position = start + 1
    while position < len(text):
        character = text[position]
        if character == "\\" and position + 1 < len(text):
            parts.append(_escape(text, position))
            position += 2
        elif character == closing and _ENDS_STRING.match(text, position + 1):
            return _quoted(parts), position + 1
        else:
            parts.append(character)
            position += 1
            _name_liberty(character, closing, forgiven)
    forgiven.setdefault("cut-off", "closed a string that the end of the text cuts off")
    return _quoted(parts), position


def _name_liberty(character: str, closing: str, forgiven: Forgiven) -> None:
    if character < " ":
        forgiven.setdefault("raw-line-break", "escaped line breaks inside strings")
    elif character == closing:
        forgiven.setdefault("inner-quote", "escaped quotes inside strings")


def _escape(text: str, position: int) -> str:
    r"""One backslash escape, decoded; unknown ones keep their backslash.  ``\u`` is left to the strict parser."""
    simple = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "/": "/"}
    return simple.get(text[position + 1], text[position : position + 2])


def _quoted(parts: list[str]) -> str:
    encoded = json.dumps("".join(parts), ensure_ascii=False)
    return re.sub(r"\\\\u([0-9a-fA-F]{4})", r"\\u\1", encoded)


def _strict_token(match: re.Match[str], forgiven: Forgiven) -> str:
    kind, token = match.lastgroup, match.group()
    if kind == "comment":
        forgiven.setdefault("comment", "left out comments")
    if kind in ("space", "comment"):
        return ""
    if kind != "word":
        return token
    if token in _WORDS:
        if token != _WORDS[token]:
            forgiven.setdefault("python-literal", f"read {token} as {_WORDS[token]}")
        return _WORDS[token]
    if _NUMBER.match(token):
        return token
    forgiven.setdefault("bare-word", f"quoted the bare word {token}")
    return json.dumps(token)


def _balanced(tokens: list[str], forgiven: Forgiven) -> list[str]:
    """Tokens with every bracket closed by its own kind."""
    mended: list[str] = []
    stack: list[str] = []
    trials = 0
    for index, token in enumerate(tokens):
        if not stack and mended:
            forgiven.setdefault("trailing-text", "left out what follows the JSON")
            break
        if token in _OPENERS:
            if _where_a_key_belongs(stack, mended):
                forgiven.setdefault("bracket", "put right brackets that do not match")
                mended[-1:] = [stack.pop(), _COMMA]
            stack.append(_OPENERS[token])
            if len(stack) > MAX_DEPTH:
                raise LooseJsonError(f"nested deeper than {MAX_DEPTH} levels")
            mended.append("[" if token == _PARENTHESIS else token)
        elif token in _CLOSERS:
            wrong = bool(stack) and token != stack[-1]
            trials += wrong
            if trials > _MAX_MENDED_BRACKETS:
                raise LooseJsonError("too many brackets do not match")
            mended.extend(_close(token, stack, tokens[index + 1 :] if wrong else [], forgiven))
        else:
            mended.append(token)
    if stack:
        forgiven.setdefault("cut-off", "closed the brackets that the end of the text leaves open")
    return mended + stack[::-1]


def _where_a_key_belongs(stack: list[str], before: list[str]) -> bool:
    """Whether an object is open and was just given a comma: a bracket here means that its end was forgotten."""
    return len(stack) > 1 and stack[-1] == "}" and bool(before) and before[-1] == _COMMA


def _close(token: str, stack: list[str], rest: list[str], forgiven: Forgiven) -> list[str]:
    """What a closing bracket closes.

    One of the wrong kind either was meant as the right kind, or those before it were forgotten: the reading counts
    that fits more of what follows.
    """
    if not stack:
        forgiven.setdefault("bracket", f"left out a {token} that closes nothing")
        return []
    if token == stack[-1]:
        return [stack.pop()]
    forgiven.setdefault("bracket", "put right brackets that do not match")
    wanted = _OPENERS["("] if token not in _OPENERS.values() else token
    if wanted not in stack or _good_for(stack[:-1], rest) > _good_for(_popped_to(stack, wanted), rest):
        return [stack.pop()]
    closed = [stack.pop()]
    while closed[-1] != wanted:
        closed.append(stack.pop())
    return closed


def _popped_to(stack: list[str], wanted: str) -> list[str]:
    remaining = list(stack)
    while remaining.pop() != wanted:
        pass
    return remaining


def _good_for(stack: list[str], tokens: list[str]) -> int:
    """How many tokens from here on fit these open brackets, up to the first that does not."""
    stack = list(stack)
    for count, token in enumerate(tokens):
        if not stack or (token == _COLON and stack[-1] == "]"):
            return count
        if token in _OPENERS:
            if _where_a_key_belongs(stack, tokens[max(0, count - 1) : count]):
                return count
            stack.append(_OPENERS[token])
        elif token in _CLOSERS and stack.pop() != token:
            return count
    return len(tokens) + (not stack)


def _with_commas(tokens: list[str], forgiven: Forgiven) -> list[str]:
    """Tokens with a comma between any two values and none before a closing bracket."""
    result: list[str] = []
    for token in tokens:
        before = result[-1] if result else ""
        if token in ("}", "]") and before == ",":
            forgiven.setdefault("trailing-comma", "left out trailing commas")
            result.pop()
        elif token == _COMMA and before in (",", "[", "{"):
            forgiven.setdefault("extra-comma", "left out commas without a value")
            continue
        elif before and _ends_value(before) and token not in (",", ":", "}", "]"):
            forgiven.setdefault("missing-comma", "put in commas between values")
            result.append(",")
        if token in ("}", "]") and before == ":":
            forgiven.setdefault("cut-off", "gave null to a key without a value")
            result.append("null")
        result.append(token)
    return result


def _ends_value(token: str) -> bool:
    return token not in (",", ":", "[", "{")
