"""kill -9 of a batch, its kernel or a worker at random moments: nothing done twice, nothing lost, nobody left behind.

``python -m benchmarks.batch_chaos [ROUNDS] [SEED]`` prints the seed of each round; SEED repeats one.  Each round is a
batch of its own over real HTTP on loopback: started, one of its processes killed, started again and left to finish.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from dslkit.agents import offline_author
from dslkit.ledger import Ledger

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "batch"))
from model_server import ModelServer, serving

ROUNDS = 50
ITEMS = 8
LATEST_S = 9.0  # after the start: by then an undisturbed batch has ended
PATIENCE_S = 60.0
ANSWER_S = 0.1
VICTIMS = ("batch", "kernel", "worker")
_PAID = "SELECT item_id, count(*) FILTER (outcome = 'ok' AND NOT cache_hit) AS paid FROM calls GROUP BY item_id"
_OURS = ("ipykernel_launcher", "dslkit.batch.worker", "engine_worker")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    first = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    killed: dict[str, int] = {}
    for seed in range(first, first + rounds):
        victim = play(seed)
        killed[victim] = killed.get(victim, 0) + 1
    print(f"{rounds} rounds held; killed: {killed}")


def play(seed: int) -> str:
    """One round; what was killed (``nobody`` when all was over before).  AssertionError says what does not hold."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as name, serving(offline_author.answer, latency_s=ANSWER_S) as server:
        folder = Path(name)
        (folder / "wishes.txt").write_text(
            "\n".join(f"Translate a text (variable text{k}) to French" for k in range(ITEMS))
        )
        victim = _disturbed(folder, server, dice)
        done = subprocess.run(**_command(folder, server, workers=2), check=False)  # type: ignore[call-overload]
        assert done.returncode == 0, f"seed {seed}, {victim} killed: the second batch ended with {done.returncode}"
        _hold(folder, f"seed {seed}, {victim} killed")
    print(f"seed {seed}: {victim} killed, all holds", flush=True)
    return victim


def _command(folder: Path, server: ModelServer, *, workers: int) -> dict[str, object]:
    environment = {
        **os.environ,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": server.url,
        "DSLKIT_HOME": str(folder / "home"),
        "DSLKIT_REQUESTS_PER_MINUTE": "10000",
    }
    batch = ["batch", "wishes.txt", "--model", "m", "--workers", str(workers), "--no-report", "--no-engine"]
    command = [sys.executable, "-c", "from dslkit.cli import main; main()", *batch]
    quiet = subprocess.DEVNULL
    return {"args": command, "cwd": folder, "env": environment, "stdout": quiet, "stderr": quiet}


def _disturbed(folder: Path, server: ModelServer, dice: random.Random) -> str:
    """Start a batch, kill one of its processes at some moment, and see that no other is left when it has ended."""
    wanted, delay, workers = dice.choice(VICTIMS), dice.uniform(0.5, LATEST_S), dice.choice((1, 2))
    process = subprocess.Popen(**_command(folder, server, workers=workers))  # type: ignore[call-overload]
    until, family = time.monotonic() + delay, {process.pid: psutil.Process(process.pid)}
    while time.monotonic() < until and process.poll() is None:
        family |= {each.pid: each for each in _children(process.pid)}
        time.sleep(0.02)
    victims = [process.pid] if wanted == "batch" else [pid for pid, each in family.items() if _is(each, wanted)]
    hit = "nobody"
    if process.poll() is None and victims and _alive(family[victims[-1]]):
        os.kill(victims[-1], signal.SIGKILL)
        hit = wanted
    family |= {each.pid: each for each in _children(process.pid)}
    process.wait(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while left := [each for each in family.values() if _alive(each)]:
        assert time.monotonic() < deadline, f"left behind: {[each.cmdline() for each in left]}"
        time.sleep(0.05)
    return hit


def _hold(folder: Path, when: str) -> None:
    """What must be so after the second batch, whatever happened to the first."""
    ledger = Ledger(folder / "home")
    paid = ledger.sql(_PAID).fetchall()
    assert len(paid) == ITEMS, f"{when}: calls for {len(paid)} items"
    twice = [row for row in paid if row[1] > 1]
    assert not twice, f"{when}: paid twice: {twice}"
    last = ledger.sql("SELECT count(DISTINCT item_id) FROM items WHERE verdict = 'clean'").fetchall()
    assert last == [(ITEMS,)], f"{when}: {last} items are clean"
    assert len(list((folder / "out").glob("*.yml"))) == ITEMS, when
    assert not list((folder / "home" / "answers").rglob("*.asking")), f"{when}: claims are left"
    assert not ledger.verify().lost, f"{when}: the ledger lost something"
    open_runs = ledger.sql("SELECT count(*) FROM runs WHERE status = 'running'").fetchall()
    assert open_runs == [(0,)], f"{when}: a run that ended counts as running"


def _children(pid: int) -> list[psutil.Process]:
    try:
        return [each for each in psutil.Process(pid).children(recursive=True) if _of_ours(each)]
    except psutil.NoSuchProcess:
        return []


def _of_ours(process: psutil.Process) -> bool:
    return any(name in " ".join(_words(process)) for name in _OURS)


def _is(process: psutil.Process, kind: str) -> bool:
    return {"kernel": "ipykernel_launcher", "worker": "dslkit.batch.worker"}[kind] in " ".join(_words(process))


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    main()
