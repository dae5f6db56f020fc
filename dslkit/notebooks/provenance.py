"""Where a notebook comes from: the hash of its text, the commit it lies in, and whether that was modified."""

from __future__ import annotations

import hashlib
import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_GIT = ("git", "status", "--porcelain=v2", "--branch", "--untracked-files=no")
_PATIENCE_S = 5.0
_COMMIT = "# branch.oid "
_NONE_YET = "(initial)"


class Commit(NamedTuple):
    """The commit checked out, and whether tracked files differ from it; both None outside a repository."""

    sha: str | None
    dirty: bool | None


def sha256(text: str) -> str:
    """The hash that ``sha256sum`` shows for the file."""
    return hashlib.sha256(text.encode()).hexdigest()


def commit_of(*folders: Path) -> Commit:
    """The commit of the first of the folders that lies in a git repository."""
    for folder in folders:
        if folder.is_dir() and (found := _ask_git(folder)):
            return found
    return Commit(None, None)


def _ask_git(folder: Path) -> Commit | None:
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # a status must not stand in the way of a commit under way
    try:
        asked = subprocess.run(  # noqa: S603 - a constant command; the notebook's folder is its cwd only
            _GIT, cwd=folder, env=quiet, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = asked.stdout.splitlines()
    sha = next((line.removeprefix(_COMMIT) for line in lines if line.startswith(_COMMIT)), _NONE_YET)
    return Commit(None if sha == _NONE_YET else sha, any(not line.startswith("#") for line in lines))
