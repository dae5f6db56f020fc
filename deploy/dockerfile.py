"""Reads a Dockerfile into stages, for `image_check.py`: the instructions that ours use, and an error for any other."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEPS = {"RUN", "COPY", "ENV", "WORKDIR", "USER", "CMD", "ENTRYPOINT", "HEALTHCHECK"}
_FOR_OTHERS = {"VOLUME", "EXPOSE", "LABEL"}  # tell Docker something and change no file
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class Step:
    """An instruction in upper case, its words as they stand, and the line it begins on."""

    instruction: str
    words: str
    line: int


@dataclass
class Stage:
    """What a ``FROM`` begins: the image or earlier stage it starts from, and the steps on top of it."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)


@dataclass
class State:
    """What steps leave for those after them, besides files."""

    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    command: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)

    def copy(self) -> State:
        """A stage that starts from this one changes its own."""
        return State(dict(self.environment), self.folder, self.user, self.command, self.entrypoint, self.healthcheck)

    def take(self, step: Step) -> None:
        """Take over what a step other than RUN and COPY says."""
        if step.instruction == "ENV":
            self.environment |= dict(_assignments(step, self.environment))
        elif step.instruction == "WORKDIR":
            self.folder = step.words if step.words.startswith("/") else f"{self.folder.rstrip('/')}/{step.words}"
        elif step.instruction == "USER":
            self.user = step.words
        elif step.instruction == "CMD":
            self.command = words_of(step, step.words)
        elif step.instruction == "ENTRYPOINT":
            self.entrypoint = words_of(step, step.words)
        elif step.instruction == "HEALTHCHECK":
            self.healthcheck = words_of(step, step.words.partition("CMD ")[2])


def parse(text: str) -> list[Stage]:
    """The stages of a Dockerfile in order; ValueError names a line that cannot be followed."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for step in _steps(text):
        if step.instruction == "ARG" and not stages:
            name, _, default = step.words.partition("=")
            arguments[name] = default
        elif step.instruction == "FROM":
            base, _, name = expand(step.words, arguments).partition(" AS ")
            stages.append(Stage(name.strip() or str(len(stages)), base.strip()))
        elif not stages or step.instruction not in _STEPS | _FOR_OTHERS:
            raise ValueError(f"line {step.line}: {step.instruction} is not understood")
        elif step.instruction in _STEPS:
            stages[-1].steps.append(step)
    return stages


def words_of(step: Step, text: str) -> list[str]:
    """The words of an instruction in JSON's form; the other starts a shell, which swallows signals."""
    try:
        words = json.loads(text)
    except ValueError:
        raise ValueError(f'line {step.line}: {step.instruction} must be written as ["word", "word"]') from None
    return [str(word) for word in words]


def expand(text: str, values: dict[str, str]) -> str:
    """The text with ``$NAME`` and ``${NAME}`` put in, as Docker does in ENV and FROM."""
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[2], ""), text)


def copied(step: Step) -> tuple[str | None, list[str], str]:
    """Of a COPY: the stage it copies from (None: the build's context), its sources and its target."""
    words = shlex.split(step.words)
    options = [word for word in words if word.startswith("--")]
    *sources, target = [word for word in words if not word.startswith("--")]
    stage = next((option.removeprefix("--from=") for option in options if option.startswith("--from=")), None)
    if not sources or len(options) > (stage is not None):
        raise ValueError(f"line {step.line}: this COPY is not understood")
    return stage, sources, target


def _steps(text: str) -> Iterator[Step]:
    """Instructions with their continued lines joined and comments left out."""
    begun, at = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (line.strip() or begun):
            continue
        at = at if begun else number
        begun += line.removesuffix("\\") if line.endswith("\\") else line
        if not line.endswith("\\"):
            instruction, _, words = begun.strip().partition(" ")
            yield Step(instruction.upper(), words.strip(), at)
            begun = ""


def _assignments(step: Step, known: dict[str, str]) -> Iterator[tuple[str, str]]:
    for word in shlex.split(step.words):
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"line {step.line}: ENV must be written as NAME=value")
        yield name, expand(value, known)
