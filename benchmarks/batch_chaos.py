"""kill -9 of a batch, its kernel or a worker at random moments: nothing done twice, nothing lost, nobody left behind.

``python -m benchmarks.batch_chaos [KILLS] [SEED]`` goes on until so many processes were killed, a quarter of them or
more of each kind.  It prints the seed of each round; SEED begins with one.  Each round is a batch of its own over real
HTTP on loopback: started, one of its processes killed at some moment of its life, started again and left to finish.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from dslkit.agents import offline_author
from dslkit.ledger import Ledger
from tests.batch.model_server import ModelServer, serving

KILLS = 50
ITEMS = 8
PATIENCE_S = 240.0
ANSWER_S = 0.2
VICTIMS = {"batch": "dslkit.cli", "kernel": "ipykernel_launcher", "worker": "dslkit.batch.worker"}
_PAID = "SELECT item_id, count(*) FILTER (outcome = 'ok' AND NOT cache_hit) AS paid FROM calls GROUP BY item_id"
_OURS = (*VICTIMS.values(), "engine_worker")

Family = dict[int, psutil.Process]


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    lives = lifetimes()
    print("undisturbed lives, s: " + ", ".join(f"{kind} {life:.1f}" for kind, life in lives.items()), flush=True)
    killed: Counter[str] = Counter()
    rounds = 0
    while killed.total() < wanted or min(killed[kind] for kind in VICTIMS) < wanted // 4:
        kind = tuple(VICTIMS)[seed % len(VICTIMS)]
        hit = play(seed, kind, lives[kind])
        killed[kind] += hit
        rounds += 1
        print(f"seed {seed}: {kind} {'killed' if hit else 'had ended'}, all holds", flush=True)
        seed += 1
    print(f"{rounds} rounds held; killed: {dict(killed)}")


def lifetimes() -> dict[str, float]:
    """Seconds that each kind of process lives in a batch that nobody disturbs, from when it is first seen."""
    seen: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name, serving(offline_author.answer, latency_s=ANSWER_S) as server:
        process = _start(_prepared(Path(name)), server)
        family: Family = {}
        while process.poll() is None:
            _look(process, family)
            for kind in VICTIMS:
                if kind not in seen and _of_kind(family, kind):
                    seen[kind] = time.monotonic()
            time.sleep(0.02)
        assert process.returncode == 0, "the batch that nobody disturbed failed"
    return {kind: time.monotonic() - began for kind, began in seen.items()}


def play(seed: int, kind: str, life_s: float) -> bool:
    """One round; whether there was somebody left to kill.  AssertionError says what does not hold."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as name, serving(offline_author.answer, latency_s=ANSWER_S) as server:
        folder = _prepared(Path(name))
        hit = _disturbed(_start(folder, server), kind, dice.uniform(0, life_s), dice)
        again = _start(folder, server)
        _ended(again, {})
        assert again.returncode == 0, f"seed {seed}, {kind} killed: the second batch ended with {again.returncode}"
        _hold(folder, f"seed {seed}, {kind} killed")
    return hit


def _prepared(folder: Path) -> Path:
    wishes = [f"Translate a text (variable text{number}) to French" for number in range(ITEMS)]
    (folder / "wishes.txt").write_text("\n".join(wishes))
    return folder


def _start(folder: Path, server: ModelServer) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": server.url,
        "DSLKIT_HOME": str(folder / "home"),
        "DSLKIT_REQUESTS_PER_MINUTE": "10000",
    }
    batch = ["batch", "wishes.txt", "--model", "m", "--workers", "2", "--no-report", "--no-engine"]
    command = [sys.executable, "-c", "from dslkit.cli import main; main()", *batch]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=quiet, stderr=quiet)


def _disturbed(process: subprocess.Popen[bytes], kind: str, delay_s: float, dice: random.Random) -> bool:
    """Kill one of a batch's processes so long after the first of its kind came, and see that no other outlives it."""
    family: Family = {}
    until = None
    while process.poll() is None and (until is None or time.monotonic() < until):
        _look(process, family)
        if until is None and _of_kind(family, kind):
            until = time.monotonic() + delay_s
        time.sleep(0.02)
    victims = [each for each in _of_kind(family, kind) if _alive(each)]
    if victims:
        os.kill(dice.choice(victims).pid, signal.SIGKILL)
    _ended(process, family)
    if kind == "worker":  # its items are given to another one
        assert process.returncode == 0, f"the batch ended with {process.returncode} for a worker's death"
    return bool(victims)


def _ended(process: subprocess.Popen[bytes], family: Family) -> None:
    """Wait until a batch and all who belong to it are gone."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None or any(_alive(each) for each in family.values()):
        _look(process, family)
        left = [_words(each) for each in family.values() if _alive(each)]
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)


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


def _look(process: subprocess.Popen[bytes], family: Family) -> None:
    """Add who has come to a batch's family; whoever was seen once stays in it, also as an orphan."""
    try:
        root = psutil.Process(process.pid)
        found = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    family |= {each.pid: each for each in found if any(name in _words(each) for name in _OURS)}


def _of_kind(family: Family, kind: str) -> list[psutil.Process]:
    return [each for each in family.values() if VICTIMS[kind] in _words(each)]


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    main()
