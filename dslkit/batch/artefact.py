"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from typing import TYPE_CHECKING

from dslkit.errors import DslkitError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".yml"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFullError(DslkitError):
    """Nothing more can be written; what was finished is whole."""


def write_whole(path: Path, text: str) -> str:
    """Write ``text`` beside ``path``, make it durable, rename it into place; returns the SHA-256 of its bytes.

    Raises:
        DiskFullError: no room; nothing is left behind.
    """
    data = text.encode()
    # The process id keeps two batches that write the same item from writing one temporary file.
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with disk_full_explained(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            _sync_folder(path.parent)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return hashlib.sha256(data).hexdigest()


def require_writable(folder: Path) -> None:
    """Raise UsageError where no file can be written into a folder, before anything is paid for; makes nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with disk_full_explained(folder), tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UsageError(f"{folder}: nothing can be written there ({error.strerror}). Choose another folder.") from None


def clear_remains(folder: Path) -> None:
    """Remove what processes that were killed while writing have left; `write_whole` alone names files so."""
    for path in folder.glob(f".*{SUFFIX}.*.new"):
        pid = path.name.split(".")[-2]
        if pid.isdigit() and not _is_alive(int(pid)):
            path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str | None:
    """The SHA-256 of a file's bytes, None when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


@contextlib.contextmanager
def disk_full_explained(folder: Path) -> Iterator[None]:
    """Turn the operating system's "no space" errors into DiskFullError."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise disk_full(folder, error) from error


def is_disk_full(error: BaseException) -> bool:
    """Whether the operating system refused for lack of room; libraries in C say so in words alone."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    return any(os.strerror(number) in str(error) for number in _NO_ROOM)


def disk_full(where: Path | str, error: BaseException) -> DiskFullError:
    """The same in words, with the remedy."""
    reason = getattr(error, "strerror", None) or os.strerror(errno.ENOSPC)
    return DiskFullError(
        f"No room on the disk for {where} ({reason}). Free some space and run the same command again: "
        f"what is finished is kept and costs nothing."
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _sync_folder(folder: Path) -> None:
    """A rename lasts through a power cut once its folder is on disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
