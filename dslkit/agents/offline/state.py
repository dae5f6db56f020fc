"""What a requirement comes to: inputs, parts of work and outputs, as they stand after the last round."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dslkit.agents.offline.words import overlap, words_of

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Variable:
    """An input (``kind`` is its type) or an output (text, field, image, audio, chart, diagram, file:EXT, literal:TEXT).

    An output is no longer ``wanted`` once a later round outputs something else.  ``media`` are those of a file input.
    """

    name: str
    description: str
    kind: str
    media: frozenset[str] = frozenset()
    wanted: bool = True

    @property
    def phrase(self) -> str:
        """What it is, in words."""
        return self.description or self.name.replace("_", " ")

    def likeness(self, phrase: str) -> float:
        """How well a phrase describes it, 0 to 1."""
        if self.name in phrase.split():
            return 1.0
        return overlap(phrase, f"{self.name} {self.description}") if words_of(phrase) else 0.0


@dataclass(slots=True)
class Part:
    """What one round adds: its text, and what it makes.  ``case`` names the alternative that it belongs to."""

    text: str
    outputs: list[Variable] = field(default_factory=list)
    case: str | None = None
    idle: bool = False  # nothing is written in it: it names another source, or leads over to cases


@dataclass(slots=True)
class Reading:
    """The state after the rounds read so far."""

    inputs: list[Variable] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    other_source: str | None = None  # an input that may stand in for the first source

    @property
    def text(self) -> str:
        """All that still counts."""
        return "\n".join(part.text for part in self.parts)

    @property
    def wanted(self) -> list[Variable]:
        """The outputs of the finished workflow, each name once."""
        return list({output.name: output for part in self.parts for output in part.outputs if output.wanted}.values())

    @property
    def plain_inputs(self) -> list[Variable]:
        """Inputs that are plain text."""
        return [given for given in self.inputs if given.kind == "string"]

    def change(self, condition: Callable[[Variable], bool], **fields: str | bool) -> None:
        """Change fields of the outputs that meet a condition."""
        for part in self.parts:
            part.outputs = [replace(one, **fields) if condition(one) else one for one in part.outputs]  # type: ignore[arg-type]  # callers name fields of Variable

    def drop(self, condition: Callable[[Variable], bool]) -> None:
        """Outputs that are no longer wanted; what makes them stays, since others may need it."""
        self.change(condition, wanted=False)


def best(variables: list[Variable], phrase: str, least: float) -> Variable | None:
    """The variable that a phrase describes best, if at least so well."""
    found = max(variables, key=lambda one: one.likeness(phrase), default=None)
    return found if found and found.likeness(phrase) >= least else None
