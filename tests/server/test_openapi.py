"""The document tells what the server does: held against each other by schemathesis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dslkit.server import openapi
from dslkit.server.table import ROUTES
from tests.server.conftest import TOKEN

if TYPE_CHECKING:
    from tests.server.conftest import Served

# What a schema cannot say of a valid request: that a plan has nodes, that a model needs a key, what names a file.
CONFIGURATION = """
[generation]
deterministic = true
max-examples = 8

[[operations]]
include-path-regex = "convert|patterns/add|generate/(simple|full|multi-agent)|import"
checks.positive_data_acceptance.enabled = false
"""


def test_every_route_is_in_the_document_and_every_reference_leads_somewhere() -> None:
    document = openapi.document(ROUTES, "/")
    told = {(method, path) for path, found in document["paths"].items() for method in found}
    assert told == {(route.method, route.path) for route in ROUTES}
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]
    names = [found["operationId"] for path in document["paths"].values() for found in path.values()]
    assert len(names) == len(set(names))


def test_schemathesis_finds_nothing(served: Served, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION, encoding="utf-8")
    program = Path(sys.executable).parent / "schemathesis"
    words = [program, "run", f"{served.url}/api/v1/openapi.json", "-H", f"Authorization: Bearer {TOKEN}"]
    words += ["--exclude-path-regex", "events$", "--phases", "coverage,fuzzing", "--request-timeout", "200"]
    done = subprocess.run(words, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    assert " → 5" not in served.log
