"""The kernel of a run: this interpreter, over Unix sockets, told which run it works for."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager

from dslkit.notebooks.parameters import NotStartedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OWN = "python3"
_OWN_NAMES = frozenset({"", "python", OWN})
_PREFIX = "dslkit-"
_OWNER = "owner"  # locked for as long as the process lives whose kernel it is
_SETTLED_S = 60  # a younger folder may be one whose owner has yet to lock it
_LONGEST_SOCKET_PATH = 90  # Unix allows 104 to 108 bytes; the port's suffix needs some


class OwnKernelManager(AsyncKernelManager):
    """Starts "python3" with the interpreter that runs this, whatever kernelspec of that name is installed."""

    idle = False  # whether its cells have all ended

    @property
    def kernel_spec(self) -> KernelSpec | None:
        """The kernelspec to start; jupyter_client would look "python3" up in the user's folders first."""
        if self.kernel_name not in _OWN_NAMES:
            return super().kernel_spec
        if self._kernel_spec is None:
            self._kernel_spec = KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                display_name="Python 3",
                language="python",
            )
        return self._kernel_spec

    async def _async_interrupt_kernel(self) -> None:
        """Interrupt what runs.  jupyter_client does so before it ends a kernel, too; an idle one would complain."""
        if not (self.idle and self.shutting_down):
            await super()._async_interrupt_kernel()


@contextmanager
def sockets() -> Iterator[Mapping[str, Any]]:
    """Options of a kernel manager for Unix sockets in a folder of their own, which is gone afterwards.

    They are open to nobody else, and ipykernel does not warn of them as it does of plain TCP.  Folders whose owners
    were killed are removed.
    """
    _clear_remains(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder,
        (Path(folder) / _OWNER).open("w") as owner,
    ):
        fcntl.flock(owner, fcntl.LOCK_EX)
        path = str(Path(folder) / "kernel.json")
        fits = len(path) < _LONGEST_SOCKET_PATH and sys.platform != "win32"
        yield {"transport": "ipc", "connection_file": path} if fits else {}


def _clear_remains(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError), (folder / _OWNER).open("r+") as owner:  # one without it is none of ours
            if time.time() - folder.stat().st_mtime > _SETTLED_S:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def require(name: str) -> None:
    """Raise NotStartedError, with the kernels there are, when the named kernel cannot be started here."""
    if name in _OWN_NAMES:
        return
    specs = KernelSpecManager()
    try:
        specs.get_kernel_spec(name)
    except NoSuchKernel:
        there = ", ".join(sorted({OWN, *specs.find_kernel_specs()}))
        raise NotStartedError(
            f"No kernel {name!r} is installed. There are: {there}. Choose one in the notebook's metadata (kernelspec), "
            "or with papermill's --kernel."
        ) from None


def environment(*, run_id: str, home: Path) -> Mapping[str, str]:
    """The environment of a kernel that works for a run: its calls are booked on the run, in the same ledger."""
    return {
        **os.environ,
        "DSLKIT_RUN_ID": run_id,
        "DSLKIT_HOME": str(home),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the debugger's warning about frozen modules is no output of a cell
    }
