"""The draft with the values at hand, and the nodes that one lays again and again."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from dslkit.agents.offline import borrowing
from dslkit.agents.offline.drafting import Draft, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.reading import Input, Output, Reading
    from dslkit.knowledge.patterns import Pattern

START: Final = "1"
MAX_TEXTS_READ: Final = 5  # earlier results a model node is given; more would only dilute its prompt
MAX_TITLE: Final = 60
WORDS_OF_A_TITLE: Final = 6
MAX_FIELD_NAME: Final = 28  # Dify resolves no name over 30 characters

_OPENING: Final = re.compile(
    r"^(?:and )?(?:the|an?|first(?:ly)?|then|next|finally|subsequently|\d+[.)])[, ]+", re.IGNORECASE
)


@dataclass(slots=True)
class Workbench:
    """What nodes laid from here on may use.

    ``materials`` are texts every model node reads, ``pictures`` files it looks at, ``lists`` file lists to go through;
    ``texts`` are results so far, ``made`` the outputs by name, ``files`` those still to be made of a finished text.
    """

    draft: Draft
    reading: Reading
    patterns: Sequence[Pattern] = ()
    materials: list[Value] = field(default_factory=list)
    pictures: list[Value] = field(default_factory=list)
    lists: list[Input] = field(default_factory=list)
    texts: list[Value] = field(default_factory=list)
    images: list[Value] = field(default_factory=list)
    made: dict[str, Value] = field(default_factory=dict)
    files: list[tuple[Output, Value]] = field(default_factory=list)
    prompt: Value | None = None  # written for the next image
    ran: Value | None = None  # what the program of this part printed

    def fork(self) -> Workbench:
        """The same bench for one branch: what is made on it stays on it."""
        return replace(
            self,
            materials=list(self.materials),
            pictures=list(self.pictures),
            lists=list(self.lists),
            texts=list(self.texts),
            images=list(self.images),
            made=dict(self.made),
            files=[],
        )

    def main_text(self) -> Value:
        """The text that says most of what is at hand: the latest result, else the first material."""
        if self.texts:
            return self.texts[-1]
        return self.materials[0] if self.materials else start_value(self.reading.inputs[0])

    def source(self) -> Value:
        """The text that facts are taken from: the first material, else the latest result."""
        return self.materials[0] if self.materials else self.main_text()

    def has(self, kind: str) -> bool:
        """Whether a node of that type is laid."""
        return any(node["type"] == kind for node in self.draft.nodes)

    def write(
        self, task: str, title: str, *, texts: Sequence[Value] | None = None, images: Sequence[Value] = ()
    ) -> Value:
        """Lay a model node that does the task with what is at hand; the text it gives."""
        read = [*self.materials, *(self.texts[-MAX_TEXTS_READ:] if texts is None else texts)]
        seen = [*self.pictures, *images]
        said = [f"{value.label}:\n{value.text}" for value in read]
        user = "\n\n".join([_plain(task), *said, *(value.text for value in seen)])
        param = {"system": borrowing.system_prompt(task, self.patterns), "user": user}
        return Value("text", self.draft.add("llm", title, param, [*read, *seen]), title)

    def fill_template(self, values: Sequence[Value], title: str) -> Value:
        """Lay a template that puts values under each other, under headings where there are several."""
        named = [(f"part_{place}", value) for place, value in enumerate(values, start=1)]
        heading = "## {label}\n\n" if len(values) > 1 else ""
        blocks = [heading.format(label=value.label) + f"{{{{ {name} }}}}" for name, value in named]
        return self._template(named, "\n\n".join(blocks), title)

    def join_lists(self, values: Sequence[Value], title: str) -> Value:
        """Lay a template that puts the elements of lists under each other."""
        named = [(f"list_{place}", value) for place, value in enumerate(values, start=1)]
        loops = [f"{{% for entry in {name} %}}{{{{ entry }}}}\n\n{{% endfor %}}" for name, _ in named]
        return self._template(named, "".join(loops), title)

    def _template(self, named: Sequence[tuple[str, Value]], template: str, title: str) -> Value:
        param = {"variables": [[name, value.ref] for name, value in named], "template": template}
        node = self.draft.add("template-transform", title, param, [value for _, value in named])
        return Value("output", node, title)

    def extract(
        self, source: Value, parameters: Sequence[tuple[str, str, str]], title: str, instruction: str = ""
    ) -> dict[str, Value]:
        """Lay a parameter extractor of (description, name, type); its values by name."""
        param: dict[str, Any] = {"query": source.ref, "parameters": [list(one) for one in parameters]}
        param["instruction"] = _plain(instruction) or "Take each value from the text; leave out what it does not say."
        node = self.draft.add("parameter-extractor", title, param, [source])
        return {name: Value(name, node, description) for description, name, _ in parameters}

    def compute(self, param: dict[str, Any], sources: Sequence[Value], title: str) -> list[Value]:
        """Lay borrowed code on these sources; its outputs in order."""
        bound = [[variable[0], source.ref] for variable, source in zip(param["variables"], sources, strict=True)]
        node = self.draft.add("code", title, {**param, "variables": bound}, sources)
        return [Value(name, node, title) for name, _ in param["outputs"]]

    def merge(self, values: Sequence[Value], title: str) -> Value:
        """Lay an aggregator over values of which only one exists in a run."""
        param = {"variables": [value.ref for value in values]}
        return Value("output", self.draft.add("variable-aggregator", title, param, values), title)


def start_value(given: Input) -> Value:
    """An input as the start node gives it."""
    label = re.split(r"[,.;(]", given.description)[0].strip() or given.name.replace("_", " ")
    return Value(given.name, START, _plain(label[0].upper() + label[1:MAX_TITLE]))


def title_of(text: str) -> str:
    """The first words of a text, as a node's title."""
    said = " ".join(_OPENING.sub("", _plain(text).strip()).split()[:WORDS_OF_A_TITLE]).strip(" ,.;:'\"")
    return said[:1].upper() + said[1:MAX_TITLE] if said else "Write"


def field_name(text: str) -> str:
    """A name Dify can resolve, made of a phrase."""
    name = re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_")[:MAX_FIELD_NAME].strip("_")
    return name if name and not name[0].isdigit() else f"field_{name}"


def _plain(text: str) -> str:
    """Without anything that Dify or Jinja would take for a reference or a tag."""
    return re.sub(r"([{}])(?=[{}%#])", r"\1 ", text)
