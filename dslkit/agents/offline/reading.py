"""What a requirement comes to: inputs, parts of work and outputs, as they stand after the last round."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from dslkit.agents.offline.wording import overlap, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

ALIKE: Final = 0.6  # share of a phrase's words from which on it means the thing compared with


@dataclass(frozen=True, slots=True)
class Input:
    """A start variable."""

    name: str
    description: str
    type: str
    media: frozenset[str] = frozenset()

    def likeness(self, phrase: str) -> float:
        """How well a phrase describes it, 0 to 1."""
        return _likeness(phrase, self.name, self.description)


@dataclass(frozen=True, slots=True)
class Output:
    """Something the workflow makes.  ``wanted`` is False once a later round outputs something else instead."""

    name: str
    description: str
    kind: str  # text, field, image, audio, chart, diagram, file:EXT or literal:TEXT
    wanted: bool = True
    own_text: bool = False  # a file that was a text before: it has a text of its own

    def likeness(self, phrase: str) -> float:
        """How well a phrase describes it, 0 to 1."""
        return _likeness(phrase, self.name, self.description)


@dataclass(slots=True)
class Part:
    """What one round adds: its text, and what it makes.  ``case`` names the alternative that it belongs to."""

    text: str
    outputs: list[Output] = field(default_factory=list)
    case: str | None = None
    source_only: bool = False  # it adds another source for the same work

    def change(self, condition: Callable[[Output], bool], **fields: str | bool) -> None:
        """Change fields of the outputs that meet a condition."""
        self.outputs = [replace(one, **fields) if condition(one) else one for one in self.outputs]  # type: ignore[arg-type]  # callers name fields of Output


@dataclass(slots=True)
class Reading:
    """The state after the rounds read so far."""

    inputs: list[Input] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    other_source: str | None = None  # an input that may stand in for the first source

    @property
    def text(self) -> str:
        """All that still counts."""
        return "\n".join(part.text for part in self.parts)

    @property
    def wanted(self) -> list[Output]:
        """The outputs of the finished workflow, each name once."""
        return list({output.name: output for part in self.parts for output in part.outputs if output.wanted}.values())

    def string_inputs(self) -> list[Input]:
        """Inputs that are plain text."""
        return [given for given in self.inputs if given.type == "string"]

    def drop_outputs(self, condition: Callable[[Output], bool]) -> None:
        """Outputs that are no longer wanted; what makes them stays, since others may need it."""
        for part in self.parts:
            part.change(condition, wanted=False)


def _likeness(phrase: str, name: str, description: str) -> float:
    if name in phrase.split():
        return 1.0
    return overlap(phrase, f"{name} {description}") if words_of(phrase) else 0.0
