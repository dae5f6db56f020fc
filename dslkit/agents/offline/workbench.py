"""What a model node may read while a plan is laid, and the nodes that give it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dslkit.agents.offline import borrowing, cues
from dslkit.agents.offline.drafting import Draft, Value
from dslkit.agents.offline.wording import overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.reading import Input, Output, Reading
    from dslkit.knowledge.patterns import Pattern

START = "1"
MAX_TEXTS_READ = 5  # earlier results a model node is given; more would only dilute its prompt


@dataclass(slots=True)
class Workbench:
    """The draft and the values at hand.

    ``materials`` are texts every model node reads, ``pictures`` files it looks at, ``lists`` file lists to go through;
    ``texts`` are results so far, ``made`` the outputs by name.
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
            files=list(self.files),
        )

    def write(self, task: str, title: str, *, texts: Sequence[Value] | None = None, look: bool = True) -> Value:
        """Lay a model node that does the task with what is at hand; the text it gives."""
        read = [*self.materials, *(self.texts[-MAX_TEXTS_READ:] if texts is None else texts)]
        seen = [*self.pictures, *(self.images if look and cues.asks_to_look(task) else [])]
        user = "\n\n".join(
            [cues.task_of(task), *(f"{value.label}:\n{value.text}" for value in read), *(v.text for v in seen)]
        )
        param = {"system": borrowing.system_prompt(task, self.patterns), "user": user}
        return Value("text", self.draft.add("llm", title, param, [*read, *seen]), title)

    def fill_template(self, values: Sequence[Value], title: str) -> Value:
        """Lay a template that puts values under each other."""
        names = [f"part_{place}" for place in range(1, len(values) + 1)]
        several = len(values) > 1
        blocks = [
            f"## {value.label}\n\n{{{{ {name} }}}}" if several else f"{{{{ {name} }}}}"
            for name, value in zip(names, values, strict=True)
        ]
        param = {
            "variables": [[name, value.ref] for name, value in zip(names, values, strict=True)],
            "template": "\n\n".join(blocks),
        }
        return Value("output", self.draft.add("template-transform", title, param, values), title)

    def join_list(self, values: Sequence[Value], title: str) -> Value:
        """Lay a template that puts the elements of lists under each other."""
        names = [f"list_{place}" for place in range(1, len(values) + 1)]
        loops = [f"{{% for entry in {name} %}}{{{{ entry }}}}\n\n{{% endfor %}}" for name in names]
        param = {
            "variables": [[name, value.ref] for name, value in zip(names, values, strict=True)],
            "template": "".join(loops),
        }
        return Value("output", self.draft.add("template-transform", title, param, values), title)

    def extract(
        self, source: Value, parameters: Sequence[tuple[str, str, str]], title: str, instruction: str = ""
    ) -> dict[str, Value]:
        """Lay a parameter extractor of (description, name, type); its values by name."""
        param: dict[str, Any] = {"query": source.ref, "parameters": [list(one) for one in parameters]}
        param["instruction"] = instruction or "Take each value from the text; leave out what it does not say."
        node = self.draft.add("parameter-extractor", title, param, [source])
        return {name: Value(name, node, description) for description, name, _ in parameters}

    def compute(self, param: dict[str, Any], sources: Sequence[Value], title: str) -> list[Value]:
        """Lay borrowed code on these sources; its outputs in order."""
        bound = [[variable[0], source.ref] for variable, source in zip(param["variables"], sources, strict=True)]
        node = self.draft.add("code", title, {**param, "variables": bound}, sources)
        return [Value(name, node, title) for name, _ in param["outputs"]]

    def main_text(self) -> Value:
        """The text that says most of what is at hand: the latest result, else the first material."""
        return (self.texts or self.materials or [Value(self.reading.inputs[0].name, START, "Input")])[
            -1 if self.texts else 0
        ]


def open_bench(reading: Reading, patterns: Sequence[Pattern] = ()) -> Workbench:
    """Lay start and whatever makes the inputs readable."""
    draft = Draft([(given.name, given.type) for given in reading.inputs])
    bench = Workbench(draft, reading, patterns)
    first = bench.reading.inputs[0]
    if reading.other_source and first.name != reading.other_source:
        _either(bench, first, next(one for one in reading.inputs if one.name == reading.other_source))
        rest = [given for given in reading.inputs if given.name not in {first.name, reading.other_source}]
    else:
        rest = reading.inputs
    # What decides or qualifies is short: it stands after the sources in a prompt.
    for given in sorted(rest, key=lambda one: one.type in {"number", "boolean"}):
        _take_in(bench, given)
    if cues.CALLS_API.search(reading.text) and not any(node["type"] == "http-request" for node in draft.nodes):
        _call_api(bench)
    if cues.SEARCH.search(reading.text):
        _search(bench)
    return bench


def start_value(given: Input) -> Value:
    """An input as the start node gives it."""
    label = re.split(r"[,.;(]", given.description)[0].strip()[:60] or given.name.replace("_", " ")
    return Value(given.name, START, label[0].upper() + label[1:])


def _take_in(bench: Workbench, given: Input) -> None:
    value = start_value(given)
    if given.type == "array[file]":
        bench.lists.append(given)
    elif given.type == "file" and given.media & {"image", "audio"}:
        bench.pictures.append(value)
    else:
        bench.materials.append(_readable(bench, given))


def _readable(bench: Workbench, given: Input) -> Value:
    """The text of one input: of a document, of the page behind an address, or the input itself."""
    value = start_value(given)
    if given.type == "file":
        node = bench.draft.add("document-extractor", f"Text of {given.name}", {"variable_selector": value.ref}, [value])
        return Value("text", node, value.label)
    if given.type == "string" and cues.WEB_ADDRESS.search(given.name):
        return fetch(bench, value, bench.reading.text)
    return value


def fetch(bench: Workbench, address: Value, text: str) -> Value:
    """Lay the request for a page, or for a service's API where the text names the service; what it gives."""
    service = borrowing.service_address(text)
    if service:
        return _ask_service(bench, address, service, text)
    node = bench.draft.add("http-request", "Fetch the page", {"url": address.text}, [address])
    body = Value("body", node, "Content of the page")
    clean = borrowing.code("readable text of an HTML page by regular expressions", gives=["string"])
    if clean and cues.WEB_PAGE.search(text):
        body = replace(bench.compute(clean, [body], "Text of the page")[0], label="Text of the page")
    return body


def _ask_service(bench: Workbench, address: Value, param: dict[str, Any], text: str) -> Value:
    """The first address is always asked, the others where the text speaks of what they hold."""
    addresses = bench.compute(param, [address], "Addresses of the API")
    bodies = []
    for place, one in enumerate(addresses):
        holds = one.name.removesuffix("_url").replace("_", " ")
        if place == 0 or holds.lower() in text.lower():
            node = bench.draft.add("http-request", f"Fetch {holds}", {"url": one.text}, [one])
            bodies.append(Value("body", node, holds.capitalize()))
    bench.materials.extend(bodies[1:])
    return bodies[0]


def _either(bench: Workbench, first: Input, other: Input) -> None:
    """One of two sources is given: take in the one that is there."""
    condition = [start_value(other).ref, "exists" if other.type == "file" else "not empty"]
    choice = bench.draft.add_after_all("if-else", f"Is {other.name} given?", {"cases": [[None, [condition]]]})
    found = []
    for port, given in enumerate((other, first)):
        with bench.draft.branch(choice, port):
            value = _readable(bench, given)
            if value.node == START:
                value = bench.fill_template([value], f"Take {given.name}")
            found.append(value)
    bench.materials.append(merge(bench, found, "Source text"))


def merge(bench: Workbench, values: Sequence[Value], title: str) -> Value:
    """Lay an aggregator over values of which only one exists in a run."""
    param = {"variables": [value.ref for value in values]}
    return Value("output", bench.draft.add("variable-aggregator", title, param, values), title)


def _call_api(bench: Workbench) -> None:
    """Ask an API whose address only the text may name; without one a person has to put it in."""
    if cues.EXTRACT_ADDRESS.search(bench.reading.text):
        return
    said = cues.LITERAL_ADDRESS.search(bench.reading.text)
    terms = [start_value(given) for given in bench.reading.string_inputs()]
    url = said[0] if said else "https://example.com/" + "".join(f"?query={term.text}" for term in terms[:1])
    title = "Ask the API" if said else "Ask the API (set its address)"
    bench.materials.append(
        Value("body", bench.draft.add("http-request", title, {"url": url}, terms[:1]), "Answer of the API")
    )


def _search(bench: Workbench) -> None:
    terms = [start_value(given) for given in bench.reading.string_inputs()] or bench.materials[:1]
    query = " ".join(value.text for value in terms[:2])
    node = bench.draft.add("google-search", "Search the web", {"query": query}, terms[:2])
    bench.materials.append(Value("json", node, "Search results"))


def deciding(bench: Workbench, text: str) -> Value:
    """The text that a classifier should look at: the input the text says to decide by, else the latest plain input."""
    plain = bench.reading.string_inputs()
    said = re.findall(
        r"\b(?:according to|based on|depending on|by|judge|classif\w+|distinguish\w*|intent\w*|type of)\b([^.;]*)",
        text,
        re.IGNORECASE,
    )
    for phrase in said:
        for given in plain:
            if overlap(given.description, phrase) >= 0.6 or given.name in phrase.split():  # noqa: PLR2004 - most of its words
                return start_value(given)
    plain = [given for given in plain if not cues.WEB_ADDRESS.search(given.name)]
    return start_value(plain[-1]) if plain else bench.main_text()
