"""The command line, called in this process as its entry point does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from dslkit.cli import main


class Done(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


Dslkit = Callable[..., Done]


@pytest.fixture
def dslkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Dslkit:
    """Call with the words of a command line."""

    def call(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["dslkit", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Done(int(end.value.code or 0), said.out, said.err)

    return call
