"""The throttled client at a server's limit, beside its peers: eff, steady, 429s, lost and CPU per call.

    python benchmarks/throttle.py                              # a, b, d, e, g, h, once each, dslkit alone
    python benchmarks/throttle.py --scenario a,c --peers dslkit,dslkit-client,openai,pyrate --reps 3
    python benchmarks/throttle.py --scenario e --procs 300,150,100,50    # --kill-at 4, --seed 11, --srv JSON, --n 10000
    python benchmarks/throttle.py --real-minute                             # a minute of 60 s, about 190 s

Needs the driver and the fake server of the third-party data (DSLKIT_SHARED, default ../shared): loopback
only.  Peers other than dslkit are installed into environments of their own on first use (BENCH_HOME).  Prints the
driver's tables, then each figure of dslkit against its target.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("DSLKIT_SHARED", ROOT.parent / "shared"))
_DRIVE = """
import sys
folder, server = sys.argv[1:3]
del sys.argv[1:3]
sys.path.insert(0, folder)
import peers
peers.HERE = server
peers.main()
"""
MINUTE = "a minute"
# 300 a minute, answered in 2 s or so; three windows and the first of a fourth
REAL_MINUTE = {"window": 60, "requests": 300, "lat_median": 2.0, "lat_sigma": 0.25}
OURS = ("dslkit", "dslkit-client")
LEAST_EFF = {"a": 94, "b": 96, "d": 91, "e": 92, "g": 93, "h": 93}  # % of the ideal
MOST_REFUSED = {"a": 0, "b": 0, "d": 0, "e": 5, "g": 0, "h": 0, MINUTE: 0}  # 429s; nothing may be lost in any of these
STEADY = {"a": 99, "e": 98, MINUTE: 99}  # least % of what the server allows in the middle windows
CPU_MS = 2.0  # of processor time a call, in scenario e
QUEUED_KB, FIRST_ANSWER_S = 0.3, 0.4  # scenario f: for each queued request, and seconds
CPU_RATIO = {"dslkit-client": 0.75, "dslkit": 0.42}  # of the bare SDK in scenario c of the same run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="a,b,d,e,g,h")
    parser.add_argument("--peers", default="dslkit")
    parser.add_argument("--reps", type=int, default=1)
    parser.add_argument("--real-minute", action="store_true", help="instead: windows of 60 s, for three minutes")
    known, more = parser.parse_known_args()
    if known.real_minute:
        known.scenario = "a"
        more += ["--srv", json.dumps(REAL_MINUTE), "--n", "1000", "--limit-s", "400"]
    driver = SHARED / "bench" / "peers.py"
    if not driver.is_file():
        print(f"No driver at {driver}: set DSLKIT_SHARED", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        rows = run(driver, Path(folder), known.scenario, known.peers, known.reps, more)
    for row in rows:
        row["scen"] = MINUTE if known.real_minute else row["scen"]
    return judge(rows)


def run(driver: Path, folder: Path, scenario: str, peers: str, reps: int, more: list[str]) -> list[dict[str, Any]]:
    """Have the driver run it, on its own server under our eyes; one row a run."""
    (folder / "fake_openai.py").symlink_to(ROOT / "benchmarks" / "throttle_server.py")
    results = folder / "results.jsonl"
    command = [sys.executable, "-c", _DRIVE, str(driver.parent), str(folder), "run", "--scenario", scenario]
    command += ["--peers", peers, "--reps", str(reps), "--out", str(results), *more]
    ours = {"BENCH_ADAPTERS": str(ROOT / "benchmarks" / "throttle_adapters.py"), "SERVER": str(driver.parent)}
    subprocess.run(command, env={"BENCH_DSLKIT_BIN": sys.executable, **os.environ, **ours}, check=True)
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def judge(rows: list[dict[str, Any]]) -> int:
    """Print each figure of ours against its target; 1 when one is missed."""
    runs: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        runs[row["scen"], row["peer"]].append(row)
    missed = 0
    print("\n| scenario | adapter | figure | measured | target | |\n|---|---|---|---|---|---|")
    for (scenario, peer), found in runs.items():
        if peer not in OURS:
            continue
        for figure, measured, target, good in figures(scenario, peer, found, runs.get((scenario, "openai"), [])):
            missed += not good
            print(f"| {scenario} | {peer} | {figure} | {measured} | {target} | {'met' if good else 'MISSED'} |")
    return 1 if missed else 0


def figures(
    scenario: str, peer: str, found: list[dict[str, Any]], bare: list[dict[str, Any]]
) -> Iterator[tuple[str, str, str, bool]]:
    """What was measured of one adapter in one scenario, each with its target and whether it is met."""
    if any("wall" not in row for row in found):
        yield "ran", "failed", "all", False
        return
    if scenario in LEAST_EFF:
        yield at_least("eff %", median(row["eff"] * 100 for row in found), LEAST_EFF[scenario])
    if scenario in MOST_REFUSED:
        name = "429s a client could know of" if scenario == "d" else "429s"
        late = [row["stats"]["late_refused"] if scenario == "d" else row["e429"] for row in found]
        yield at_most(name, median(late), MOST_REFUSED[scenario], digits=0)
        yield at_most("lost", max(row["lost"] for row in found), 0, digits=0)
    if scenario in STEADY:
        yield at_least("steady %", median(row["steady"] * 100 for row in found), STEADY[scenario])
    if scenario == "e":
        yield at_most("CPU ms / call", median(row["cpu_k"] for row in found), CPU_MS)
    if scenario == "f":
        grown = (max(0.0, row["rss"] - row["rss0"]) * 1024 / row["n"] for row in found)
        yield at_most("kB / queued", median(grown), QUEUED_KB)
        yield at_most("first answer s", median(row["first"] for row in found), FIRST_ANSWER_S)
    if scenario == "c" and bare:
        ratio = median(row["cpu_k"] for row in found) / median(row["cpu_k"] for row in bare)
        yield at_most("CPU / bare SDK", ratio, CPU_RATIO[peer])


def at_least(figure: str, measured: float, least: float) -> tuple[str, str, str, bool]:
    return figure, f"{measured:.1f}", f">= {least}", measured >= least


def at_most(figure: str, measured: float, most: float, digits: int = 2) -> tuple[str, str, str, bool]:
    return figure, f"{measured:.{digits}f}", f"<= {most}", measured <= most


if __name__ == "__main__":
    sys.exit(main())
