"""A few rounds of the benchmark that kills processes at random moments; fifty are a matter for it."""

from __future__ import annotations

import pytest

from benchmarks.batch_chaos import VICTIMS, play


@pytest.mark.parametrize("kind", VICTIMS)
def test_nothing_is_lost_or_done_twice(kind: str) -> None:
    """Whoever is killed.  A moment of its first second, so that there is somebody to kill however fast the machine."""
    assert play(seed=7, kind=kind, life_s=1.0)
