"""The picture of a workflow: all of it is there, nothing overlaps, nothing from the document gets out of its text."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dslkit.dify.draw import MAX_NODES, draw
from dslkit.dify.layout import PICTURE, Block, Link, Spot, lay_out
from tests.dify.engine_documents import MODEL, code, document, end, if_else, llm, node, start, template

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"


def parsed(drawing: str) -> ET.Element:
    return ET.fromstring(drawing)


def texts(drawing: str, style: str | None = None) -> list[str]:
    found = parsed(drawing).iter(f"{SVG}text")
    return ["".join(each.itertext()) for each in found if style is None or each.get("class") == style]


CLASSES = [{"id": "1", "name": "Praise & thanks"}, {"id": "2", "name": "Complaint"}]
CLASSIFIER = node("qc", "question-classifier", query_variable_selector=["start", "x"], model=MODEL, classes=CLASSES)


def branching() -> dict[str, Any]:
    nodes = [
        start(("x", "text-input")),
        if_else("if", "one", "two"),
        {**llm("risky"), "data": {**llm("risky")["data"], "error_strategy": "fail-branch"}},
        CLASSIFIER,
        *(end(f"e{i}") for i in range(5)),
    ]
    edges = "start->if if:one->risky if:two->qc if:false->e0 risky->e1 risky:fail-branch->e2 qc:1->e3 qc:2->e4"
    return document(nodes, edges)


def test_every_node_is_there_with_title_and_type() -> None:
    drawing = draw(branching())
    assert set(texts(drawing, "title")) == {"start", "if", "risky", "qc", "e0", "e1", "e2", "e3", "e4"}
    assert "llm · gpt-4o-mini" in texts(drawing, "type")


def test_branches_are_labelled() -> None:
    assert sorted(texts(draw(branching()), "label")) == sorted(
        ["IF", "ELIF 1", "ELSE", "on error", "Praise & thanks", "Complaint"]
    )


def test_every_edge_is_drawn() -> None:
    root = parsed(draw(branching()))
    assert len([path for path in root.iter(f"{SVG}path") if path.get("class") == "edge"]) == 8


def test_nodes_are_coloured_by_kind() -> None:
    nodes = [start(), llm(), code(), node("t", "teleport"), end()]
    groups = [group.get("class") for group in parsed(draw(document(nodes, ""))).iter(f"{SVG}g")]
    assert sorted(map(str, groups)) == ["boundary", "boundary", "data", "model", "unknown"]


def test_it_never_shrinks_to_what_nobody_can_read() -> None:
    drawing = draw(branching())
    width = float(str(parsed(drawing).get("width")))
    (least,) = re.findall(r"min-width:(\d+)px", str(parsed(drawing).get("style")))
    assert 13 * float(least) / width >= 9, "titles of 13 px"


def test_containers_frame_their_children() -> None:
    nodes = [
        start(),
        node("loop", "iteration", start_node_id="begin"),
        node("begin", "iteration-start", inside="loop"),
        template("inner", "a", inside="loop"),
        end(),
    ]
    root = parsed(draw(document(nodes, "start->loop begin->inner loop->end")))
    rects = {rect.get("class"): rect for rect in root.iter(f"{SVG}rect")}
    frame = rects["frame"]
    [inner] = [g.find(f"{SVG}rect") for g in root.iter(f"{SVG}g") if g.findtext(f"{SVG}title", "").startswith("inner")]
    assert inner is not None
    for axis, extent in (("x", "width"), ("y", "height")):
        low, high = float(frame.get(axis, "")), float(frame.get(axis, "")) + float(frame.get(extent, ""))
        assert low < float(inner.get(axis, "")) < float(inner.get(axis, "")) + float(inner.get(extent, "")) < high
    assert len(list(root.iter(f"{SVG}circle"))) == 1


def test_it_tells_what_it_shows() -> None:
    root = parsed(draw(branching()))
    assert (root.get("role"), root.findtext(f"{SVG}title")) == ("img", "test")
    assert root.findtext(f"{SVG}desc", "").startswith("9 nodes, 8 edges: start, if,")


def test_it_follows_light_and_dark_and_asks_for_nothing() -> None:
    drawing = draw(branching())
    assert ":root.dslkit-workflow { color-scheme: light dark; }" in drawing
    assert '[data-jp-theme-light="false"] .dslkit-workflow { color-scheme: dark; }' in drawing
    addresses = re.findall(r"(?:https?:)?//[^\s\"'<]+", drawing.replace(SVG.strip("{}"), ""))
    assert addresses == []
    assert not re.search(r"<script|<image|<foreignObject|@import|url\(", drawing)


EVIL = '</title><script>alert("x")</script>&"\'\x00\x0b\ud800'


def test_what_comes_from_the_document_is_escaped() -> None:
    nodes = [{**start(), "data": {**start()["data"], "title": EVIL, "desc": EVIL}}, node(EVIL, EVIL), CLASSIFIER]
    nodes[2]["data"] = {**nodes[2]["data"], "classes": [{"id": "1", "name": EVIL}]}
    evil = document(nodes, "")
    evil["workflow"]["graph"]["edges"] = [{"source": "qc", "target": "start", "sourceHandle": "1"}]
    evil["app"]["name"] = EVIL
    drawing = draw(evil)
    assert "<script" not in drawing
    assert parsed(drawing).findtext(f"{SVG}title") == EVIL.rstrip("\x00\x0b\ud800")


def test_long_titles_are_cut_but_told_in_full() -> None:
    title = "a very long title that no box can hold " * 3
    drawing = draw(document([{**start(), "data": {"type": "start", "title": title}}], ""))
    [shown] = texts(drawing, "title")
    assert shown.endswith("…")
    assert len(shown) < 30
    assert title in parsed(drawing).find(f"{SVG}g/{SVG}title").text  # type: ignore[union-attr, operator] # it is there


def chain(count: int) -> dict[str, Any]:
    names = [f"n{i}" for i in range(count)]
    edges = " ".join(f"{a}->{b}" for a, b in itertools.pairwise(names))
    return document([llm(name) for name in names], edges)


def test_forty_nodes_in_a_row_stay_readable() -> None:
    """On a page 1,000 pixels wide a title is still at least 10 pixels high."""
    width = float(parsed(draw(chain(40))).get("width", ""))
    assert 13 * min(1, 1000 / width) >= 10


def test_too_many_nodes_are_said() -> None:
    assert texts(draw(chain(MAX_NODES + 1))) == ["1,001 nodes are too many for a picture (at most 1,000)"]
    assert draw(chain(MAX_NODES)).count('class="box"') == MAX_NODES


MALFORMED: list[Any] = [
    {},
    {"app": 3, "workflow": []},
    {"workflow": {"graph": {"nodes": [None, {"id": 3}, {"id": "a", "data": {}}], "edges": [1, {"source": "a"}]}}},
    document([{**llm("a"), "parentId": "b"}, {**llm("b"), "parentId": "a"}], "a->b b->a"),
    document([{**llm("a"), "parentId": "a"}, llm("b")], "a->a b->gone"),
    document([if_else("if")], "if:what->if"),
]


@pytest.mark.parametrize("broken", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_documents_are_drawn_as_far_as_they_go(broken: Any) -> None:
    assert parsed(draw(broken)).tag == f"{SVG}svg"


def overlap(a: Spot, b: Spot) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


@st.composite
def graphs(draw_: st.DrawFn) -> tuple[list[Block], list[Link]]:
    count = draw_(st.integers(1, 25))
    names = [str(i) for i in range(count)]
    parents = [draw_(st.sampled_from(["", "", *names])) for _ in names]
    sizes = st.floats(20, 300)
    blocks = [
        Block(n, p, draw_(sizes), draw_(sizes), draw_(st.floats(0, 150))) for n, p in zip(names, parents, strict=True)
    ]
    pairs = draw_(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=40))
    return blocks, [Link(a, b) for a, b in pairs]


@settings(deadline=None)
@given(graphs())
def test_nothing_overlaps_whatever_the_graph(graph: tuple[list[Block], list[Link]]) -> None:
    """Two nodes overlap only when one holds the other; everything lies inside the picture."""
    blocks, links = graph
    spots, width, height = lay_out(blocks, links, PICTURE)
    assert set(spots) == {block.id for block in blocks}
    parents = {block.id: block.parent for block in blocks}
    for a, b in itertools.combinations(spots, 2):
        if parents[a] == parents[b]:
            assert not overlap(spots[a], spots[b])
    for spot in spots.values():
        assert 0 <= spot.x <= spot.x + spot.width <= width + 0.01
        assert 0 <= spot.y <= spot.y + spot.height <= height + 0.01


@pytest.mark.shared
def test_real_apps_are_drawn(shared: Path) -> None:
    for path in sorted((shared / "data" / "dify-apps").glob("*.yml")):
        app = yaml.safe_load(path.read_text(encoding="utf-8"))
        nodes = [each for each in app["workflow"]["graph"]["nodes"] if each.get("type") != "custom-note"]
        root = parsed(draw(app))
        assert len(list(root.iter(f"{SVG}g"))) == len(nodes), path.name
