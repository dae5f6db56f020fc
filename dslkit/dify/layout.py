"""Where nodes stand in Dify's editor: left to right by rank, rows centred, containers as large as what they hold."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WIDTH: Final = 244
HEIGHT: Final = 90
ENTRY_SIZE: Final = 44
COLUMN_GAP: Final = 60
ROW_GAP: Final = 40
PADDING: Final = 60
LEFT: Final = 80
MIDDLE: Final = 280


@dataclass(frozen=True, slots=True)
class Box:
    """A node's place, relative to its container, and its size, in the editor's pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Shape:
    """What the layout must know of a node."""

    id: str
    parent: str = ""
    height: float = HEIGHT
    is_entry: bool = False


def arrange(shapes: Sequence[Shape], edges: Iterable[tuple[str, str]]) -> dict[str, Box]:
    """Place every node without overlaps; children before their containers, which take their size from them."""
    by_parent: dict[str, list[Shape]] = defaultdict(list)
    known = {shape.id for shape in shapes}
    for shape in shapes:
        by_parent[shape.parent if shape.parent in known else ""].append(shape)
    links = list(edges)
    boxes: dict[str, Box] = {}
    sizes: dict[str, tuple[float, float]] = {}
    for parent in _inner_first(by_parent):
        placed, size = _arrange_scope(by_parent[parent], links, sizes, inside=bool(parent))
        boxes.update(placed)
        sizes[parent] = size
    return boxes


def _inner_first(by_parent: Mapping[str, list[Shape]]) -> list[str]:
    """Scopes, each after the scopes inside it; cyclic ownership comes last."""
    order: list[str] = []
    queue = deque([""])
    seen = {""}
    while queue:
        scope = queue.popleft()
        order.append(scope)
        for shape in by_parent.get(scope, ()):
            if shape.id in by_parent and shape.id not in seen:
                seen.add(shape.id)
                queue.append(shape.id)
    return [*reversed(order), *(scope for scope in by_parent if scope not in seen)]


def _arrange_scope(
    shapes: list[Shape], edges: list[tuple[str, str]], sizes: Mapping[str, tuple[float, float]], *, inside: bool
) -> tuple[dict[str, Box], tuple[float, float]]:
    """Boxes of one scope's nodes, and the room they take."""
    ranks = _ranks([shape.id for shape in shapes], edges)
    columns: dict[int, list[Shape]] = defaultdict(list)
    for shape in shapes:
        columns[ranks[shape.id]].append(shape)
    own = {shape.id: sizes.get(shape.id) or _own_size(shape) for shape in shapes}
    tallest = max((_column_height(column, own) for column in columns.values()), default=0)
    x: float
    x, middle = (PADDING, PADDING + tallest / 2) if inside else (LEFT, MIDDLE)
    boxes: dict[str, Box] = {}
    for rank in sorted(columns):
        y = middle - _column_height(columns[rank], own) / 2
        for shape in columns[rank]:
            width, height = own[shape.id]
            boxes[shape.id] = Box(round(x), round(y), width, height)
            y += height + ROW_GAP
        x += max(own[shape.id][0] for shape in columns[rank]) + COLUMN_GAP
    return boxes, (x - COLUMN_GAP + PADDING, tallest + 2 * PADDING)


def _own_size(shape: Shape) -> tuple[float, float]:
    return (ENTRY_SIZE, ENTRY_SIZE) if shape.is_entry else (WIDTH, shape.height)


def _column_height(column: list[Shape], sizes: Mapping[str, tuple[float, float]]) -> float:
    return sum(sizes[shape.id][1] for shape in column) + ROW_GAP * (len(column) - 1)


def _ranks(ids: list[str], edges: list[tuple[str, str]]) -> dict[str, int]:
    """The longest way from a node without predecessors; nodes in cycles go where they are first met."""
    here = set(ids)
    following: dict[str, list[str]] = defaultdict(list)
    waiting = dict.fromkeys(ids, 0)
    for source, target in edges:
        if source in here and target in here:
            following[source].append(target)
            waiting[target] += 1
    ranks = dict.fromkeys(ids, 0)
    queue = deque(id_ for id_ in ids if not waiting[id_])
    while queue:
        id_ = queue.popleft()
        for target in following[id_]:
            ranks[target] = max(ranks[target], ranks[id_] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                queue.append(target)
    return ranks
