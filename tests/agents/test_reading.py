"""How requirement texts are read: names, roles, types, kinds, and what later rounds change."""

from __future__ import annotations

import pytest

from dslkit.agents.offline import cues, kinds
from dslkit.agents.offline.cases import decide, with_cases
from dslkit.agents.offline.reading import read
from dslkit.agents.offline.words import MAX_SENTENCE, MAX_TEXT, head, mentions, overlap, readable, sentences
from dslkit.dify.plan import parse_plan


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("The user provides the paper (variable paper).", [(("paper",), "input", "paper")]),
        ("It outputs a text (variable 'text').", [(("text",), "output", "text")]),
        ("It outputs fields (variables a, b and c).", [(("a", "b", "c"), "output", "fields")]),
        ("Enter a city (`city`) and a day (`day`).", [(("city",), "input", "city"), (("day",), "input", "day")]),
        ("A poem, stored in the variable poem, is written.", [(("poem",), None, "poem")]),
        ("An image goes into an output called `img`.", [(("img",), "output", "image")]),
        ("Return the story and the cover (variable cover).", [(("cover",), "output", "cover")]),
        ("The file (variable name: f) is uploaded.", [(("f",), None, "file")]),
        ("提供文件（variable f）.", [(("f",), None, "提供文件")]),
        ("The variable names remain unchanged.", []),
        ("Convert it into a PDF file (variable pdf).", [(("pdf",), "output", "PDF file")]),
        ("Decide based on the intent (variable intent).", [(("intent",), "input", "Decide based on the intent")]),
    ],
)
def test_mentions(sentence, found):
    assert [(m.names, m.role, m.description) for m in mentions(sentence)] == found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two.", ["One.", "Two."]),
        ("Machine No. 5 is on.", ["Machine No. 5 is on."]),
        ("Make the .md file. Done", ["Make the .md file.", "Done"]),
        ("inputs.The task", ["inputs.", "The task"]),
        ("One; two\nthree", ["One;", "two", "three"]),
    ],
)
def test_sentences(text, parts):
    assert sentences(text) == parts


def test_what_nobody_could_read_is_cut():
    """Cues are searched sentence by sentence: their length bounds the time."""
    assert max(map(len, sentences(readable("word " * MAX_SENTENCE)))) <= MAX_SENTENCE + 1
    assert len(readable("A sentence. " * MAX_TEXT)) <= MAX_TEXT
    assert readable("Short. Text.") == "Short. Text."


@pytest.mark.parametrize(
    ("phrase", "noun"),
    [
        ("an image of a ticket", "image"),
        ("a list of documents", "documents"),
        ("the number of guests", "number"),
        ("", ""),
    ],
)
def test_head(phrase, noun):
    assert head(phrase) == noun


def test_overlap():
    assert overlap("the translated texts", "translating a text") == 1.0
    assert overlap("the of", "anything") == 0.0


@pytest.mark.parametrize(
    ("name", "description", "expected"),
    [
        ("paper", "paper file", ("file", {"document"})),
        ("photo", "photo of a receipt", ("file", {"image"})),
        ("docs", "list of documents", ("array[file]", {"document"})),
        ("all", "files, both documents and images", ("array[file]", {"document", "image"})),
        ("call", "recording of the call", ("file", {"audio"})),
        ("count", "number of questions", ("number", set())),
        ("flag", "whether to translate", ("boolean", set())),
        ("title", "title of the document", ("string", set())),
        ("url", "link to a document", ("string", set())),
        ("tone", "tone", ("string", set())),
    ],
)
def test_types_of_inputs(name, description, expected):
    kind = kinds.input_type(name, description)
    assert (kind, set(kinds.media(name, description)) if "file" in kind else set()) == expected


@pytest.mark.parametrize(
    ("name", "description", "around", "kind"),
    [
        ("pdf_file", "PDF file of the summary", "", "file:pdf"),
        ("minutes", "minutes in Markdown format", "", "text"),
        ("md", ".md file", "", "file:md"),
        ("final", "final file", "Convert it into a DOCX file.", "file:docx"),
        ("deck", "slide deck", "", "file:pptx"),
        ("html", "web page", "", "file:html"),
        ("code", "HTML code", "", "text"),
        ("logo", "logo image", "", "image"),
        ("prompt", "prompt of the image", "", "text"),
        ("audio", "audio file", "", "audio"),
        ("draft", "speech draft", "", "text"),
        ("pie", "pie chart", "", "chart"),
        ("map", "mind map image", "", "diagram"),
    ],
)
def test_kinds_of_outputs(name, description, around, kind):
    assert kinds.output_kind(name, description, around) == kind


FIRST = "The user provides a topic (variable topic) and a tone (variable tone). Output the essay (variable essay)."


@pytest.mark.parametrize(
    ("change", "inputs", "outputs"),
    [
        ("Additionally output an image (variable image).", {"topic", "tone"}, {"essay", "image"}),
        ("The workflow only needs to output an image (variable image).", {"topic", "tone"}, {"image"}),
        ("The tone is no longer required.", {"topic"}, {"essay"}),
        ("Change the inputs to a link (variable url).", {"url"}, {"essay"}),
        ("Replace the tone with a style (variable style).", {"topic", "style"}, {"essay"}),
        ("Replace the essay with a poem (variable poem).", {"topic", "tone"}, {"poem"}),
        ("The user will also provide a length (variable length).", {"topic", "tone", "length"}, {"essay"}),
        ("Make it funnier. The output variables remain unchanged.", {"topic", "tone"}, {"essay"}),
        (
            "The workflow needs to output the essay and its summary (variable summary).",
            {"topic", "tone"},
            {"essay", "summary"},
        ),
    ],
)
def test_later_rounds_change_inputs_and_outputs(change, inputs, outputs):
    state = read([FIRST, change])
    assert {given.name for given in state.inputs} == inputs
    assert {output.name for output in state.wanted} == outputs


@pytest.mark.parametrize(
    ("text", "cases", "operators"),
    [
        ("If the level is gold, do a; otherwise, do b.", ["the level is gold", "Anything else"], ["contains"]),
        ("If the age is 18 or more, do a. If the age is below 18, do b.", None, ["≥"]),
        ("If the photo is not empty, do a; if it is missing, do b.", None, ["exists"]),
        ("1. For fees, do a. 2. For visits, do b. Use a question classifier.", ["fees", "visits"], []),
        ("There are three kinds: red, green and blue. Each has its own branch.", ["red", "green", "blue"], []),
        ("If it rains, do a. If it snows, do b.", ["it rains", "it snows"], []),
        ("For each chapter, do a.", [], None),
    ],
)
def test_cases_and_what_decides(text, cases, operators):
    """Conditions on inputs where all but one case has one; otherwise a classifier has to understand."""
    given = "The user provides a level (variable level), the age as a number (variable age), a photo (variable photo)."
    reading = read([f"{given} {text}"])
    found = [part for part in with_cases(reading) if part.case]
    if cases is not None:
        assert [part.case for part in found] == cases
    if operators is not None:
        assert [test[1] for test in decide(reading, found)[1]] == operators


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Write a summary of it.", True),
        ("Convert the text into a PDF file.", False),
        ("The user will also provide a tone (variable tone).", False),
        ("Remove the review.", False),
        ("The workflow only needs to output the text.", False),
        ("Express the tree with indentation.", True),
    ],
)
def test_what_asks_for_work(text, asks):
    assert cues.asks_for_work(text) is asks


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("The user uploads an essay (variable a) and enters the rubric (variable b).", ["file", "string"]),
        ("The user gives the weight (variable a). If the weight is above 20, refuse it.", ["number"]),
        ("The user gives a lease (variable a). Take the rent from the document.", ["file"]),
        ("The user gives a title (variable a). Take the rent from the document.", ["string"]),
    ],
)
def test_types_that_follow_from_the_rest_of_the_text(text, types):
    assert [given.kind for given in read([text]).inputs] == types


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("Split the notes by code, write on them one by one (variable a).", "array[string]"),
        ("Work on the program's printed notes with a Python code node (variable a).", "string"),
    ],
)
def test_what_a_user_gives_is_never_run(task, kind, author):
    """Code borrowed for a text works on it; only programs written for it are run."""
    plan = parse_plan(author([f"The user provides notes (variable notes). {task}"])).plan
    code = next(node for node in plan.nodes_info if node.type == "code")
    assert code.param["outputs"][0][1] == kind
    assert "exec(" not in code.param["code"]
