"""The examples of the documentation are run, in order, in an empty folder; no verb goes without one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from dslkit.cli.app import app
from dslkit.dify.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/cli.md", "README.md")
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
ANYTHING = "…"
# What sets up or leaves the place where the tests run is not theirs to start.
NOT_OURS = ("make ", "git ", "cd ", "jupyter ", "pip ", "conda ")


@dataclass(frozen=True)
class Example:
    """A command of a console block, and what it prints; nothing shown means that nothing is promised."""

    command: str
    output: str


def examples(page: str) -> Iterator[Example]:
    """The commands of a page's console blocks that can run anywhere."""
    for block in CONSOLE.findall((ROOT / page).read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            if not command.startswith(NOT_OURS):
                yield Example(command, output)


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
    environment = {name: value for name, value in os.environ.items() if name != "DSLKIT_HOME"}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"}
    shown = list(examples(page))
    for example in shown:
        command = re.sub(rf"(\S*){ANYTHING}(\S*)", r"\1*\2", example.command)  # a name that nobody can foresee
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{example.command}\n{done.stdout}{done.stderr}"
        assert expected(example.output).fullmatch(done.stdout.strip()) or not example.output.strip(), (
            f"{example.command}\nprinted\n{done.stdout}\nnot\n{example.output}"
        )


def test_the_command_page_has_examples() -> None:
    assert len(list(examples("docs/cli.md"))) > 20


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
        if words[0] == "dslkit":
            assert {words[1], " ".join(words[1:3])} & known, example.command
