"""YAML in and out: a reader that no document can bring down, and a writer in the style of Dify's exports.

The reader works on the parser's events, without recursion: nesting, size and what aliases expand to are bounded,
duplicate keys are named.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from dslkit.dify.references import copy_data
from dslkit.records import Finding

MAX_CHARACTERS: Final = 5_000_000
MAX_DEPTH: Final = 100
MAX_VALUES: Final = 500_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_MERGE: Final = "tag:yaml.org,2002:merge"
_STRING: Final = "tag:yaml.org,2002:str"
_PLAIN_COLLECTIONS: Final = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_KEPT_AS_TEXT: Final = frozenset({"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:binary"})


class _RefusedError(Exception):
    """The text is not read further; carries the finding."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.finding = Finding(code=code, severity="error", message=message, remedy=remedy)


class _Open:
    """A collection still being read."""

    __slots__ = ("anchor", "key", "merged", "size", "value")

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: Any = _Open  # no key read yet
        self.size = 1
        self.merged: set[Any] = set()


def read_yaml(text: str | bytes) -> tuple[Any, tuple[Finding, ...]]:
    """The document in ``text`` and what is to be said of it as YAML.

    The value is None when it cannot be read; then a finding says why.  Dates stay text.
    """
    try:
        decoded = _decoded(text)
        reader = _Reader()
        return reader.read(decoded), tuple(reader.findings)
    except _RefusedError as refused:
        return None, (refused.finding,)


def write_yaml(document: Any) -> str:
    """The document as YAML; strings that look like numbers stay strings, Unicode stays readable."""
    text: str = yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=120)
    return text


def _decoded(text: str | bytes) -> str:
    if len(text) > MAX_CHARACTERS:
        raise _RefusedError(
            "yaml-too-large",
            f"The file is larger than {MAX_CHARACTERS // 1_000_000} MB.",
            "Check that it is a Dify app export; real ones are far smaller.",
        )
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _RefusedError(
            "yaml-encoding", f"The file is not UTF-8 text ({error.reason} at byte {error.start}).", "Save it as UTF-8."
        ) from None


class _Reader:
    """Turns the parser's events into plain values."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._values = 0
        self._result: Any = None
        self._documents = 0
        self._resolver: Any = yaml.SafeLoader("")

    def read(self, text: str) -> Any:
        try:
            for event in yaml.parse(text, Loader=_Loader):
                self._take(event)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise _RefusedError(
                "yaml-invalid", f"Not valid YAML{where}: {problem}.", "Correct the YAML there."
            ) from None
        if self._documents > 1:
            raise _RefusedError("yaml-invalid", "The file holds more than one YAML document.", "Keep one.")
        return self._result

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event), event.anchor, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open({} if isinstance(event, yaml.MappingStartEvent) else [], event)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._stack.pop()
            self._add(done.value, done.anchor, done.size)
        elif isinstance(event, yaml.AliasEvent):
            self._add(*self._aliased(str(event.anchor)))
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1

    def _aliased(self, anchor: str) -> tuple[Any, None, int]:
        if anchor not in self._anchors:
            raise _RefusedError("yaml-invalid", f"The alias *{anchor} names nothing before it.", "Write its value out.")
        value, size = self._anchors[anchor]
        return copy_data(value), None, size

    def _open(self, value: Any, event: Any) -> None:
        if event.tag not in _PLAIN_COLLECTIONS:
            raise _RefusedError("yaml-invalid", f"{event.tag} is not read from YAML.", "Remove the tag.")
        self._stack.append(_Open(value, event.anchor))
        if len(self._stack) > MAX_DEPTH:
            raise _RefusedError("yaml-too-deep", f"Nested deeper than {MAX_DEPTH} levels.", "Flatten the document.")

    def _add(self, value: Any, anchor: str | None, size: int) -> None:
        """Put a finished value where it belongs.  ``size`` counts what it would be written out without aliases."""
        self._values += 1 if size == 1 else 0
        if anchor:
            self._anchors[anchor] = (value, size)
        if not self._stack:
            self._result = value
            return
        owner = self._stack[-1]
        owner.size += size
        if max(owner.size, self._values) > MAX_VALUES:
            raise _RefusedError(
                "yaml-bomb", f"Written out, the document has more than {MAX_VALUES:,} values.", "Remove aliases."
            )
        if isinstance(owner.value, list):
            owner.value.append(value)
        elif owner.key is _Open:
            owner.key = self._as_key(value)
        else:
            self._set(owner, value)

    def _as_key(self, value: Any) -> Any:
        if isinstance(value, dict | list):
            raise _RefusedError("yaml-invalid", "A key is not a plain word.", "Use plain keys.")
        return value

    def _set(self, owner: _Open, value: Any) -> None:
        key, owner.key = owner.key, _Open
        if key == "<<" and isinstance(value, dict):
            fresh = {name: entry for name, entry in value.items() if name not in owner.value}
            owner.value |= fresh
            owner.merged |= fresh.keys()
            return
        if key in owner.value and key not in owner.merged:
            self.findings.append(
                Finding(
                    code="yaml-duplicate-key",
                    severity="warning",
                    message=f"The key {str(key)[:60]!r} stands twice in one mapping; the later one counts.",
                    remedy="Remove one of them.",
                )
            )
        owner.value[key] = value

    def _scalar(self, event: Any) -> Any:
        quoted = bool(event.style)  # the C parser says "" for a plain scalar, the Python one None
        if event.tag in (_STRING, "!") or (quoted and event.tag is None):
            return event.value
        tag = event.tag or self._resolver.resolve(yaml.ScalarNode, event.value, (True, False))
        if tag in (_STRING, _MERGE) or tag in _KEPT_AS_TEXT:
            return event.value
        try:
            return self._resolver.construct_object(yaml.ScalarNode(tag, event.value))
        except (yaml.YAMLError, ValueError):
            raise _RefusedError(
                "yaml-invalid", f"{event.value[:40]!r} cannot be read as {tag}.", "Put it in quotes."
            ) from None
