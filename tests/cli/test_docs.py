"""The examples of the documentation are run, in order, in an empty folder; no verb or setting goes without words.

Console blocks are typed into a shell, python blocks run as a notebook cell of their own would, and a block below a
line of a file's name in backquotes and a colon is that file.  Models are real HTTP on loopback.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from dslkit.agents.offline_author import answer
from dslkit.cli.app import app
from dslkit.dify.engine import Engine
from dslkit.settings import Settings
from tests.batch.model_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/cli.md", "docs/guide.md", "docs/scheduling.md", "docs/alerts.md", "docs/deployment.md", "README.md")
BLOCK = re.compile(r"(?:`(?P<name>[\w.-]+)`:\n\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
ANYTHING = "…"
# What sets up or leaves the place where the tests run is not theirs to start.
NOT_OURS = ("make ", "git ", "cd ", "jupyter ", "pip ", "conda ")
# Reads a cell from standard input; as in a notebook it may await.
CELL = """
import ast, asyncio, inspect, sys
code = compile(sys.stdin.read(), "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
done = eval(code, {"__name__": "__main__"})
if inspect.iscoroutine(done):
    asyncio.run(done)
"""


@dataclass(frozen=True)
class Example:
    """A command or a cell, and what it prints; nothing shown means that nothing is promised."""

    command: str
    output: str = ""
    python: bool = False

    @property
    def words(self) -> tuple[list[str], str]:
        """The command line of a process that does it, and its standard input."""
        if self.python:
            return [sys.executable, "-W", "error", "-c", CELL], self.command
        return ["sh", "-c", re.sub(rf"(\S*){ANYTHING}(\S*)", r"\1*\2", self.command)], ""  # a name nobody can foresee


def blocks(page: str) -> Iterator[tuple[str | None, str, str]]:
    """The fenced blocks of a page: name of the file that it is, language, text."""
    for found in BLOCK.finditer((ROOT / page).read_text(encoding="utf-8")):
        yield found["name"], found["language"], found["text"]


def examples(page: str) -> Iterator[Example]:
    """What a page shows and can run anywhere."""
    for _, language, text in blocks(page):
        if language == "python":
            yield Example(text, python=True)
        elif language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                if not command.startswith(NOT_OURS):
                    yield Example(command, output)


def say(messages: list[dict[str, Any]]) -> str:
    """A model: it writes the workflow that a prompt asks for, and says hello to anything else."""
    return answer(messages) if "<requirement" in json.dumps(messages) else "Hello."


def expected(output: str) -> re.Pattern[str]:
    """A pattern: ``…`` is any text, other white space in a line counts as some."""
    pieces = [re.sub(r"(\\ )+", r" +", re.escape(piece)) for piece in output.strip().split(ANYTHING)]
    return re.compile(".*".join(pieces), re.DOTALL)


def verbs(command: object, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every verb of the command line, with its group before it; a group that acts by itself counts as well."""
    inner = getattr(command, "commands", {})
    if path and (not inner or command.invoke_without_command):
        yield " ".join(path)
    for name, sub in inner.items():
        yield from verbs(sub, (*path, name))


@pytest.mark.engine
@pytest.mark.parametrize("page", PAGES)
def test_examples_do_what_the_page_says(tmp_path: Path, page: str) -> None:
    if Engine.find(os.environ.get("DSLKIT_ENGINE_PYTHON")) is None:
        pytest.skip("Dify's engine is not installed: dslkit engine install")
    folder = tmp_path / "empty"
    folder.mkdir()
    for name, _, text in blocks(page):
        if name:
            (folder / name).write_text(text, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "DSLKIT_HOME"}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"}
    with serving(say) as server:
        environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "any"}
        for example in examples(page):
            command, typed = example.words
            done = subprocess.run(
                command, cwd=folder, env=environment, input=typed, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{example.command}\n{done.stdout}{done.stderr}"
            assert expected(example.output).fullmatch(done.stdout.strip()) or not example.output.strip(), (
                f"{example.command}\nprinted\n{done.stdout}\nnot\n{example.output}"
            )


def test_the_pages_have_examples() -> None:
    assert len(list(examples("docs/cli.md"))) > 20
    assert sum(example.python for example in examples("docs/guide.md")) > 5


def test_every_setting_is_in_the_guide() -> None:
    guide = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    names = [
        name.upper() if name.startswith(("openai", "sentry")) else f"DSLKIT_{name.upper()}"
        for name in Settings.model_fields
    ]
    assert [name for name in names if f"| `{name}` |" not in guide] == []


@pytest.mark.parametrize(
    "page",
    [
        *PAGES,
        "docs/architecture.md",
        "docs/telemetry.md",
        "docs/security.md",
        "docs/moving-from-dslmaker.md",
        "reports/README.md",
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    """To a file that is there and, where a section is named, has it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        file, _, section = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.is_file(), target
        if section:
            heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert section in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, target


def test_every_verb_has_an_example() -> None:
    documented = [example.command for example in examples("docs/cli.md")]
    missing = [
        verb
        for verb in verbs(typer.main.get_command(app))
        if not any(command.startswith(f"dslkit {verb}") for command in documented)
    ]
    assert missing == []


def test_every_example_names_a_verb() -> None:
    """A verb that is gone must not live on in the page."""
    known = set(verbs(typer.main.get_command(app)))
    for example in examples("docs/cli.md"):
        words = example.command.split()
        if words[0] == "dslkit" and not example.python:
            assert {words[1], " ".join(words[1:3])} & known, example.command
