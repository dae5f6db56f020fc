"""Makes the inputs readable: text of documents, pages behind addresses, answers of APIs, search results."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dslkit.agents.offline import borrowing, cues
from dslkit.agents.offline.drafting import Draft, Value
from dslkit.agents.offline.lexicon import anywhere
from dslkit.agents.offline.reading import ALIKE
from dslkit.agents.offline.wording import overlap
from dslkit.agents.offline.workbench import START, Workbench, start_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.reading import Input, Reading
    from dslkit.knowledge.patterns import Pattern

_DECIDES: Final = anywhere(
    r"\b(?:according to|based on|depending on|by|judge|classif\w+|distinguish\w*|intent\w*|type of)\b(?P<what>[^.;]*)",
)


def open_bench(reading: Reading, patterns: Sequence[Pattern] = ()) -> Workbench:
    """Lay start and whatever makes the inputs readable."""
    draft = Draft([(given.name, given.type) for given in reading.inputs])
    bench = Workbench(draft, reading, patterns)
    sources = _alternatives(reading)
    if sources:
        _either(bench, *sources)
    rest = [given for given in reading.inputs if given not in sources]
    # What decides or qualifies is short: it stands after the sources in a prompt.
    for given in sorted(rest, key=lambda one: one.type in {"number", "boolean"}):
        _take_in(bench, given)
    if cues.CALLS_API.search(reading.text) and not bench.has("http-request"):
        _call_api(bench)
    if cues.SEARCH.search(reading.text):
        _search(bench)
    return bench


def _alternatives(reading: Reading) -> tuple[Input, ...]:
    """The first source and the one that may stand in for it; nothing where every input is used."""
    first = reading.inputs[0]
    other = next((given for given in reading.inputs[1:] if given.name == reading.other_source), None)
    readable = other and not any(one.type == "array[file]" or one.media - {"document"} for one in (first, other))
    return (first, other) if other and readable else ()


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
    bench.materials.append(bench.merge(found, "Source text"))


def _call_api(bench: Workbench) -> None:
    """Ask an API whose address only the text may name; without one a person has to put it in."""
    if cues.EXTRACT_ADDRESS.search(bench.reading.text):
        return
    said = cues.LITERAL_ADDRESS.search(bench.reading.text)
    terms = [start_value(given) for given in bench.reading.string_inputs()]
    url = said[0] if said else "https://example.com/" + "".join(f"?query={term.text}" for term in terms[:1])
    title = "Ask the API" if said else "Ask the API (set its address)"
    node = bench.draft.add("http-request", title, {"url": url}, terms[:1])
    bench.materials.append(Value("body", node, "Answer of the API"))


def _search(bench: Workbench) -> None:
    terms = [start_value(given) for given in bench.reading.string_inputs()] or bench.materials[:1]
    query = " ".join(value.text for value in terms[:2])
    node = bench.draft.add("google-search", "Search the web", {"query": query}, terms[:2])
    bench.materials.append(Value("json", node, "Search results"))


def deciding(bench: Workbench, text: str) -> Value:
    """The text that a classifier should look at: the input the text says to decide by, else the latest plain input."""
    plain = bench.reading.string_inputs()
    for match in _DECIDES.finditer(text):
        for given in plain:
            if overlap(given.description, match["what"]) >= ALIKE or given.name in match["what"].split():
                return start_value(given)
    plain = [given for given in plain if not cues.WEB_ADDRESS.search(given.name)]
    return start_value(plain[-1]) if plain else bench.main_text()
