"""``-p NAME VALUE`` of the verbs that start notebooks, and what their help says of a notebook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FLAGS = ("-p", "--parameter")
_NEGATIVE = re.compile(r"-\.?\d")
_WORDS = "dslkit.words"


class NotebookCommand(TyperCommand):
    """A verb with a NOTEBOOK: its help lists the notebooks that ship, or the parameters of the one named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take ``-p NAME -1`` for a parameter and its value, no option."""
        words = list(_joined(args))
        ctx.meta[_WORDS] = words
        left: list[str] = super().parse_args(ctx, list(words))  # it eats them
        return left

    def get_help(self, ctx: Any) -> str:
        """The general help, and below it what can be run, or what that takes."""
        words = [word for word in ctx.meta.get(_WORDS, ()) if word not in ctx.help_option_names]
        named = self.make_context(ctx.info_name, words, resilient_parsing=True).params.get("notebook")
        more = _of_notebook(named) if named else _shipped()
        return f"{super().get_help(ctx)}\n{more}\n"


def given_parameters(names: list[str], values: list[str]) -> dict[str, str]:
    """``-p NAME VALUE``, as papermill has it, or ``-p NAME=VALUE``.  The parser leaves VALUE among the arguments."""
    left = iter(values)
    given: dict[str, str] = {}
    for name in names:
        before, equals, after = name.partition("=")
        value = after if equals else next(left, None)
        if value is None or not before:
            raise UsageError(f"-p {name} lacks its value: write -p NAME VALUE.")
        given[before] = value
    rest = list(left)
    if rest:
        raise UsageError(f"{rest[0]!r} belongs to no parameter: the notebook comes first, then each -p NAME VALUE.")
    return given


def _joined(words: Sequence[str]) -> Iterator[str]:
    """The words, ``-p NAME -1`` among them as ``-p NAME=-1``."""
    left = list(words)
    while left:
        word = left.pop(0)
        yield word
        if word in _FLAGS and len(left) > 1 and "=" not in left[0] and _NEGATIVE.match(left[1]):
            yield f"{left.pop(0)}={left.pop(0)}"


def _of_notebook(name: str) -> str:
    from dslkit import notebooks
    from dslkit.notebooks.injection import listing

    path = notebooks.find(name)
    return "\n".join(
        [f"{path.name}: {_title(notebooks.document.load(path))}", *listing(notebooks.read_parameters(path))]
    )


def _shipped() -> str:
    from dslkit.notebooks import document

    ours = {name.removesuffix(document.SUFFIX): path for name, path in document.shipped(data=False).items()}
    lines = [f"  {name:{max(map(len, ours))}}  {_title(document.load(path))}" for name, path in ours.items()]
    return "\n".join(["Notebooks that ship (NOTEBOOK --help lists what one takes):", *lines])


def _title(notebook: dict[str, Any]) -> str:
    """The notebook's first heading."""
    from dslkit.notebooks.document import source_of

    first = source_of(notebook["cells"][0]) if notebook["cells"] else ""
    return first.partition("\n")[0].lstrip("# ").replace("*", "")
