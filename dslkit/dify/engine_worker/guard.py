"""What the service may not do, whatever a document holds: network, processes, writing files, filling the memory."""

from __future__ import annotations

import os
import resource
import sys
from typing import Final

MEMORY: Final = 1 << 30
FILE_BYTES: Final = 1 << 20  # what a crash may say on standard error
_FORBIDDEN: Final = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.remove", "os.rename",
    "os.rmdir", "os.mkdir", "os.kill", "os.chmod", "os.truncate", "os.link", "os.symlink", "shutil.", "ctypes.", "pty.",
    "ftplib.", "smtplib.", "urllib.", "webbrowser.",
)  # fmt: skip
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


def limit_memory() -> None:
    """Bound address space, files written and core dumps; a platform without one of these limits does without."""
    for name, limit in (("RLIMIT_AS", MEMORY), ("RLIMIT_FSIZE", FILE_BYTES), ("RLIMIT_CORE", 0)):
        _limit(getattr(resource, name, None), limit)


def limit_cpu(seconds: float) -> None:
    """End this process by signal once it has used so much more CPU time: it must not outlive a parent that is gone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1)


def _limit(what: int | None, value: int) -> None:
    if what is None:
        return
    try:
        hard = resource.getrlimit(what)[1]
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (soft, hard))
    except (OSError, ValueError):  # macOS refuses some limits; the parent's clock still holds
        return


def close_doors() -> None:
    """From now on, refuse by an audit hook, which cannot be taken back, all that a dry run never needs."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event.startswith(_FORBIDDEN):
        raise PermissionError(f"a dry run may not do this: {event}")
    if event == "open" and any(isinstance(flags, int) and flags & _WRITING for flags in arguments[2:]):
        raise PermissionError("a dry run may not write files")
