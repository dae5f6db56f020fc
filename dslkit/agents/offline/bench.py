"""The draft with the values at hand, and the nodes that one lays again and again."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from dslkit.agents.offline import borrowing
from dslkit.agents.offline.drafting import START, Draft, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.state import Reading, Variable
    from dslkit.knowledge.patterns import Pattern

MAX_TEXTS_READ: Final = 5  # earlier results a model node is given; more would only dilute its prompt
MAX_TITLE: Final = 60
WORDS_OF_A_TITLE: Final = 6
MAX_FIELD_NAME: Final = 28  # Dify resolves no name over 30 characters
TAKE: Final = "Take each value from the text; leave out what it does not say."


@dataclass(slots=True)
class Bench:
    """What nodes laid from here on may use.

    ``materials`` are texts every model node reads, ``pictures`` files it looks at, ``lists`` file lists to go through;
    ``texts`` are results so far, ``made`` the outputs by name, ``files`` those still to be made of a finished text.
    """

    draft: Draft
    reading: Reading
    patterns: Sequence[Pattern] = ()
    materials: list[Value] = field(default_factory=list)
    pictures: list[Value] = field(default_factory=list)
    lists: list[Variable] = field(default_factory=list)
    texts: list[Value] = field(default_factory=list)
    images: list[Value] = field(default_factory=list)
    made: dict[str, Value] = field(default_factory=dict)
    files: list[tuple[Variable, Value]] = field(default_factory=list)
    ran: tuple[Value, ...] = ()  # the latest program and what it printed

    def fork(self) -> Bench:
        """The same bench for one branch: what is made on it stays on it."""
        copied = ("materials", "pictures", "lists", "texts", "images", "made")
        copies: dict[str, Any] = {name: getattr(self, name).copy() for name in copied}
        return replace(self, files=[], **copies)

    def main_text(self) -> Value:
        """The text that says most of what is at hand: the latest result, else the first material."""
        return [*self.texts[-1:], *self.materials[:1], start_value(self.reading.inputs[0])][0]

    def source(self) -> Value:
        """The text that facts are taken from: the first material, else the latest result."""
        return self.materials[0] if self.materials else self.main_text()

    def record(self, name: str, value: Value) -> None:
        """Take a value as an output; files to be made of what stood there before are made of this one."""
        old = self.made.get(name)
        self.files = [(output, value if source == old else source) for output, source in self.files]
        self.made[name] = value

    def lay(self, kind: str, title: str, param: dict[str, Any], uses: Sequence[Value], gives: str) -> Value:
        """Lay a node; what it gives."""
        return Value(gives, self.draft.add(kind, title, param, uses), title)

    def write(self, task: str, title: str) -> Value:
        """Lay a model node that does the task with what is at hand."""
        read = [*self.materials, *self.texts[-MAX_TEXTS_READ:]]
        seen = [*self.pictures, *self.images]
        said = [f"{value.label}:\n{value.text}" for value in read]
        user = "\n\n".join([_plain(task), *said, *(value.text for value in seen)])
        param = {"system": borrowing.system_prompt(task, self.patterns), "user": user}
        return self.lay("llm", title_of(title), param, [*read, *seen], "text")

    def fill_template(self, values: Sequence[Value], title: str) -> Value:
        """Lay a template that puts values under each other."""
        return self._template(values, "{{{{ part_{} }}}}\n\n", title)

    def join_lists(self, values: Sequence[Value]) -> Value:
        """Lay a template that puts the elements of lists under each other."""
        return self._template(values, "{{% for one in part_{} %}}{{{{ one }}}}\n\n{{% endfor %}}", "Put together")

    def _template(self, values: Sequence[Value], block: str, title: str) -> Value:
        variables = [[f"part_{place}", value.ref] for place, value in enumerate(values)]
        template = "".join(block.format(place) for place in range(len(values))).strip()
        return self.lay("template-transform", title, {"variables": variables, "template": template}, values, "output")

    def extract(
        self, source: Value, wanted: Sequence[tuple[str, str]], kind: str = "string", instruction: str = TAKE
    ) -> list[Value]:
        """Lay a parameter extractor of (description, name); its values in order."""
        parameters = [[description, name, kind] for description, name in wanted]
        param = {"query": source.ref, "parameters": parameters, "instruction": _plain(instruction)}
        node = self.draft.add("parameter-extractor", "Take out what is needed", param, [source])
        return [Value(name, node, description) for description, name in wanted]

    def compute(self, param: dict[str, Any], sources: Sequence[Value], title: str) -> list[Value]:
        """Lay borrowed code on these sources; its outputs in order."""
        bound = [[variable[0], source.ref] for variable, source in zip(param["variables"], sources, strict=True)]
        node = self.draft.add("code", title, {**param, "variables": bound}, sources)
        return [Value(name, node, title) for name, _ in param["outputs"]]

    def choose(self, conditions: Sequence[Sequence[Any]], title: str) -> str:
        """Lay an if-else with a case for each condition (its first entry a reference) and the ELSE; its id."""
        used = [Value(*condition[0]) for condition in conditions]
        return self.draft.add("if-else", title, {"cases": [[None, [list(one)]] for one in conditions]}, used)

    def merge(self, values: Sequence[Value], name: str) -> Value:
        """Lay an aggregator over values of which only one exists in a run."""
        value = self.lay(
            "variable-aggregator", f"Merge {name}", {"variables": [v.ref for v in values]}, values, "output"
        )
        return replace(value, label=name.replace("_", " "))


def start_value(given: Variable) -> Value:
    """An input as the start node gives it."""
    label = re.split(r"[,.;(]", given.description)[0].strip() or given.name.replace("_", " ")
    return Value(given.name, START, _plain(label[0].upper() + label[1:MAX_TITLE]))


def title_of(text: str) -> str:
    """The first words of a text, as a node's title."""
    said = " ".join(_plain(text).split()[:WORDS_OF_A_TITLE]).strip(" ,.;:'\"")
    return said[:1].upper() + said[1:MAX_TITLE] or "Write"


def field_name(text: str) -> str:
    """A name Dify can resolve, made of a phrase."""
    name = re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_")[:MAX_FIELD_NAME].strip("_")
    return name if name and not name[0].isdigit() else f"field_{name}"


def _plain(text: str) -> str:
    """Without anything that Dify or Jinja would take for a reference or a tag."""
    return re.sub(r"([{}])(?=[{}%#])", r"\1 ", text)
