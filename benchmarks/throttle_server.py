"""The fake server of the third-party data, watched: how many refusals came when a client could already know better.

The driver starts it in place of the server itself, whose folder SERVER names.  ``/stats`` says ``late_refused``, too:
all refusals but those of requests that were sent before the first answer that told of a changed limit had come back.
SERVER_LOG names a file for the arrival of each request, its id, whether it was refused and how many were in flight.
"""

# mypy: ignore-errors - it stands on a module that is nowhere to be found while types are checked
import argparse
import asyncio
import gc
import importlib.util
import json
import os
import sys
from pathlib import Path

TRAVEL_S = 0.02  # until an answer is read and what was being sent meanwhile has arrived

_where = importlib.util.spec_from_file_location("fake_openai", Path(os.environ["SERVER"]) / "fake_openai.py")
server = importlib.util.module_from_spec(_where)
_where.loader.exec_module(server)


class WatchedState(server.State):
    def __init__(self, config):
        super().__init__(config)
        self.told_at = None
        self.excused = 0
        self.arrivals = []

    def stats(self):
        if "SERVER_LOG" in os.environ:
            Path(os.environ["SERVER_LOG"]).write_text(json.dumps(self.arrivals), encoding="utf-8")
        return {**super().stats(), "late_refused": self.s["refused"] - self.excused}

    @property
    def changed(self):
        return (self.c["requests"], self.c["tokens"]) != (self.R, self.T)


class WatchedProto(server.Proto):
    def chat(self, body):
        state, at, refused = server.ST, server.now(), server.ST.s["refused"]
        super().chat(body)
        refused = state.s["refused"] > refused
        if refused and state.changed and (state.told_at is None or at <= state.told_at + TRAVEL_S):
            state.excused += 1
        name = server.RID.search(body)
        state.arrivals.append((at, int(name[1]) if name else -1, refused, state.infl))

    def send(self, b):
        state = server.ST
        if state.told_at is None and state.changed and b"x-ratelimit-limit-" in b:
            state.told_at = server.now()
        super().send(b)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cpu", type=int, default=-1)
    options = parser.parse_args()
    if options.cpu >= 0:
        os.sched_setaffinity(0, {options.cpu})
    server.State, server.Proto, server.ST = WatchedState, WatchedProto, WatchedState({})
    gc.freeze()
    try:
        import uvloop as loops
    except ImportError:
        loops = asyncio
    loops.run(server.main(options.port))


if __name__ == "__main__":
    sys.exit(main())
