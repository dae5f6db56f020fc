"""Builds the images' file trees without Docker and tries them: ``make image-check``, as root, on Debian or its like.

The steps are those of the Dockerfile, read from it, each run in a root of its own by chroot.  Only the base image is a
stand-in: Debian by debootstrap, with a CPython below /usr/local, as `python:3.13-slim` has it.  Each image is then
started as the Dockerfile says: its user, its environment, a root that cannot be written; asked for its health, made to
work, and stopped.  pip and apt are configured as they are on this machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from deploy.dockerfile import Stage, State, copied, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROJECT = Path(__file__).resolve().parent.parent
SUITE = "trixie"
LIBRARIES = (
    "ca-certificates,libssl3t64,libffi8,libsqlite3-0,libbz2-1.0,liblzma5,libreadline8t64,zlib1g,libncursesw6,libuuid1"
)
MOST_PACKAGES = 500  # MB in the slim image
HOST_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
START_S = 60
# A mount namespace and a tree of processes that end with us.
_APART = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec"]
_OPEN = 'mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; exec chroot "$@"'
_READ_ONLY = (
    'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev";'
    ' mount -t tmpfs -o mode=1777 tmp "$0/tmp"; mount --bind "$DATA" "$0/data"; exec chroot "$@"'
)
_WORK = "Summarise an uploaded document (variable document). Return the summary (variable summary).\n"


@dataclass
class Image:
    """A root folder and the state that its steps left."""

    root: Path
    state: State = field(default_factory=State)


class Builder:
    """Builds stages below a folder, each once."""

    def __init__(self, stages: Sequence[Stage], folder: Path, python: Path) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._folder = folder
        self._python = python
        self._built: dict[str, Image] = {}

    def build(self, name: str) -> Image:
        """The image of a stage; what it starts or copies from is built first."""
        if name not in self._built:
            self._built[name] = self._base(name) if name not in self._stages else self._steps(self._stages[name])
        return self._built[name]

    def _steps(self, stage: Stage) -> Image:
        below = self.build(stage.base)
        image = Image(self._folder / stage.name, below.state.copy())
        run("cp", "--archive", "--reflink=auto", str(below.root), str(image.root))
        for step in stage.steps:
            print(f"{stage.name}: {step.instruction} {step.words[:100]}", flush=True)
            if step.instruction == "RUN":
                inside(image, ["/bin/sh", "-c", step.words], environment=_of_the_host())
            elif step.instruction == "COPY":
                self._copy(image, *copied(step))
            else:
                image.state.take(step)
                (image.root / image.state.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return image

    def _copy(self, image: Image, stage: str | None, sources: list[str], target: str) -> None:
        place = (
            image.root / target.lstrip("/") if target.startswith("/") else image.root / image.state.folder[1:] / target
        )
        for source in sources:
            path = self.build(stage).root / source.lstrip("/") if stage else in_context(source)
            into = place / path.name if target.endswith("/") else place
            if path.is_dir():
                shutil.copytree(path, place, symlinks=True, dirs_exist_ok=True, ignore=_ignored(stage))
            else:
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, into)

    def _base(self, name: str) -> Image:
        """Debian, with this machine's CPython below /usr/local."""
        print(f"base: {name} is stood in for by Debian {SUITE} and {self._python}", flush=True)
        root = self._folder / "debian"
        run("debootstrap", "--variant=minbase", f"--include={LIBRARIES}", SUITE, str(root))
        shutil.copytree(self._python, root / "usr/local", symlinks=True, dirs_exist_ok=True)
        for file in HOST_FILES:
            if Path(file).exists():
                (root / file.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, root / file.lstrip("/"))
        shutil.copytree("/etc/apt/apt.conf.d", root / "etc/apt/apt.conf.d", dirs_exist_ok=True)
        run("chroot", str(root), "ldconfig")  # as the image's own build does for libpython
        run("find", str(root / "usr/local"), "-name", "__pycache__", "-prune", "-exec", "rm", "-rf", "{}", "+")
        return Image(root, State({"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}))


def in_context(source: str) -> Path:
    """A file of the build's context; ValueError where `.dockerignore` keeps it out."""
    lines = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    if f"!{source.removeprefix('./')}" not in lines:
        raise ValueError(f"COPY {source}: .dockerignore keeps it out")
    return PROJECT / source


def inside(image: Image, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
    """Run a command in the image while it is built."""
    words = [f"--userspec={image.state.user}", str(image.root), "env", "-C", image.state.folder, "-i"]
    words += [f"{name}={value}" for name, value in {**image.state.environment, **(environment or {})}.items()]
    run(*_APART, _OPEN, str(image.root), *words, *command)


@contextmanager
def started(image: Image, data: Path, words: Sequence[str], **more: str) -> Iterator[subprocess.Popen[str]]:
    """A command of the finished image, as Docker would start it with ``--read-only``."""
    settings = {**image.state.environment, **more}
    command = [f"--userspec={image.state.user}", str(image.root), "env", "-C", image.state.folder, "-i"]
    command += [*(f"{name}={value}" for name, value in settings.items()), *words]
    process = subprocess.Popen(
        [*_APART, _READ_ONLY, str(image.root), *command],
        env={**os.environ, "DATA": str(data)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def tried(image: Image, data: Path, words: Sequence[str], *, code: int = 0, **more: str) -> str:
    """What a command of the finished image prints; RuntimeError when it ends otherwise than it should."""
    with started(image, data, words, **more) as process:
        said, _ = process.communicate()
    if process.returncode != code:
        raise RuntimeError(f"{' '.join(words)}: exit code {process.returncode}\n{said}")
    return said


def check(name: str, image: Image, data: Path) -> None:
    """Try an image; the first thing that is not as it should be is a RuntimeError."""
    shutil.copytree(image.root / "data", data)
    user, _, group = image.state.user.partition(":")
    run("chown", "-R", f"{user}:{group}", str(data))
    (data / "work" / "wishes.txt").write_text(_WORK, encoding="utf-8")
    print(f"{name}: {packages_mb(image.root)} MB of site-packages, {megabytes(image.root)} MB in all", flush=True)
    if name == "slim" and packages_mb(image.root) >= MOST_PACKAGES:
        raise RuntimeError(f"the slim image has more than {MOST_PACKAGES} MB of site-packages")
    if user == "0":
        raise RuntimeError("runs as root")
    tried(image, data, ["sh", "-c", "! touch /opt/x /etc/x /x 2>/dev/null"])
    print(tried(image, data, ["dslkit", "doctor"]), flush=True)
    print(tried(image, data, ["dslkit", "batch", "wishes.txt", "--out", "out", "--mode", "rag"]), flush=True)
    tried(image, data, ["dslkit", "report", "-o", "/data/reports/report.html"])
    serve(name, image, data)


def serve(name: str, image: Image, data: Path) -> None:
    """Start the image's own command, ask it, run its health check, and end it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    own = [*image.state.entrypoint, *image.state.command]
    with started(image, data, own, PORT=port, JUPYTER_TOKEN="for-this-check") as process:  # noqa: S106 - of this check alone
        began = time.monotonic()
        health = _asked(f"http://127.0.0.1:{port}/health", process)
        print(f"{name}: /health after {time.monotonic() - began:.1f} s: {health}", flush=True)
        print(f"{name}: /health/ready: {_asked(f'http://127.0.0.1:{port}/health/ready', process)}", flush=True)
        tried(image, data, image.state.healthcheck, PORT=port)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
        os.kill(int(children[0]), signal.SIGTERM)  # to the init of the image, as `docker stop` does
        said, _ = process.communicate(timeout=START_S)
    if process.returncode != 0:
        raise RuntimeError(f"{name}: SIGTERM ended it with exit code {process.returncode}\n{said[-2000:]}")
    print(f"{name}: SIGTERM ended it with exit code 0", flush=True)


def _asked(url: str, process: subprocess.Popen[str]) -> str:
    request = urllib.request.Request(url, headers={"Authorization": "token for-this-check"})  # noqa: S310 - http, as given
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    give_up = time.monotonic() + START_S
    while True:
        try:
            with opener.open(request, timeout=5) as answer:
                return str(answer.read().decode()).strip()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > give_up:
                process.kill()
                raise RuntimeError(f"{url}: {error}\n{process.communicate()[0][-3000:]}") from error
            time.sleep(0.2)


def packages_mb(root: Path) -> int:
    """Of what is installed, the engine's own environment left out."""
    return megabytes(next((root / "opt/dslkit/lib").glob("python3*/site-packages")))


def megabytes(folder: Path) -> int:
    """As `du` counts, whole blocks: what it takes on a disk."""
    words = ["du", "--summarize", "--block-size=1M", "--one-file-system", str(folder)]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0])


def run(*words: str) -> None:
    """Run a program; its output is shown when it fails."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}\n{done.stdout[-3000:]}")


def _of_the_host() -> dict[str, str]:
    """How pip and the certificates are set up here; nothing of it stays in the image."""
    names = (
        "PIP_",
        "SSL_",
        "REQUESTS_",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    )
    return {name: value for name, value in os.environ.items() if name.startswith(names) and name != "PIP_FIND_LINKS"}


def _ignored(stage: str | None) -> object:
    return None if stage else shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "*.pyc")


def main() -> None:
    """Build and try the targets that are named, by default all that have a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="stages to build and try; by default slim and full")
    parser.add_argument(
        "--folder", type=Path, default=PROJECT / "build" / "image-check", help="where the roots are made"
    )
    parser.add_argument("--python", type=Path, default=Path(sys.base_prefix), help="prefix of a CPython to put there")
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        sys.exit("image-check needs root and debootstrap (apt-get install debootstrap)")
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    builder = Builder(
        parse((PROJECT / "deploy/Dockerfile").read_text(encoding="utf-8")), options.folder, options.python
    )
    try:
        for name in options.targets or ("slim", "full"):
            check(name, builder.build(name), options.folder / f"{name}-data")
    except (RuntimeError, ValueError) as error:
        sys.exit(f"image-check: {error}")


if __name__ == "__main__":
    main()
