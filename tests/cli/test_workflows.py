"""check, compile, convert, draw and diff over files, good and bad."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from conftest import Dslkit


@pytest.fixture
def flow(dslkit: Dslkit) -> str:
    """A good workflow."""
    dslkit(
        "generate", "Translate a text (variable text). Return it (variable result).", "--no-engine", "-o", "flow.yml"
    )
    return "flow.yml"


def test_check_says_what_is_wrong(dslkit: Dslkit, flow: str) -> None:
    """Exactly the form that programs rely on; exit code 1 for errors."""
    Path("bad.yml").write_text("app: {}\n")
    done = dslkit("check", flow, "bad.yml", "--json")
    assert done.code == 1
    good, bad = json.loads(done.out)["files"]
    assert good == {"file": flow, "verdict": "clean", "engine": "not run", "findings": good["findings"], "repairs": []}
    assert bad["verdict"] == "errors"
    assert {tuple(finding) for finding in bad["findings"]} == {
        ("code", "severity", "node", "path", "message", "remedy")
    }
    told = dslkit("check", flow, "bad.yml")
    assert told.out.startswith("flow.yml: clean, engine not run\n")
    assert "bad.yml: errors" in told.out


def test_check_reads_whatever_it_is_given(dslkit: Dslkit, flow: str) -> None:
    """Not YAML, not text: errors, not a traceback; a missing file is a wrong command."""
    Path("binary.yml").write_bytes(b"\xff\x00\x9c")
    Path("list.yml").write_text("- 1\n")
    done = dslkit("check", "binary.yml", "list.yml", "--json")
    assert done.code == 1
    assert {report["verdict"] for report in json.loads(done.out)["files"]} == {"errors"}
    assert dslkit("check", "missing.yml").code == 2


def test_plan_and_back(dslkit: Dslkit, flow: str) -> None:
    """A workflow taken back to its plan compiles to the same graph."""
    assert dslkit("convert", flow, "--to", "plan", "-o", "flow.json").code == 0
    assert "nodes_info" in json.loads(Path("flow.json").read_text())
    assert dslkit("compile", "flow.json", "-o", "again.yml").code == 0
    types = [
        sorted(node["data"]["type"] for node in yaml.safe_load(Path(name).read_text())["workflow"]["graph"]["nodes"])
        for name in (flow, "again.yml")
    ]
    assert types[0] == types[1]


def test_compile_from_standard_input(dslkit: Dslkit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply without a plan gives exit code 1 and no file."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"no plan in here")))
    done = dslkit("compile", "-", "-o", "none.yml")
    assert done.code == 1
    assert "error" in done.err
    assert not Path("none.yml").exists()


def test_draw_and_diff(dslkit: Dslkit, flow: str) -> None:
    assert dslkit("draw", flow).out.startswith("<svg")
    assert "No difference" in dslkit("diff", flow, flow).out
    Path("other.yml").write_text(Path(flow).read_text().replace("Translat", "Rewrit"))
    assert "Rewrit" in dslkit("diff", flow, "other.yml").out


def test_no_workflow_is_a_wrong_command(dslkit: Dslkit, flow: str) -> None:
    Path("list.yml").write_text("- 1\n")
    Path("other.yml").write_text("a: b\n")
    for verb in (("draw",), ("convert", "--to", "yaml"), ("convert", "--to", "plan"), ("diff", flow)):
        for name in ("list.yml", "other.yml"):
            done = dslkit(*verb, name)
            assert (done.code, done.out) == (2, "")
            assert f"{name}: not a Dify workflow" in done.err
            assert "Give a Dify export" in done.err


@pytest.mark.parametrize("rest", ["", "workflow: {graph: {nodes: []}}", "workflow: {graph: {nodes: [{id: 1}]}}"])
def test_an_app_without_a_graph_has_no_plan(dslkit: Dslkit, flow: str, rest: str) -> None:
    """One line, not a traceback; it is still an app to compare and to write again."""
    Path("app.yml").write_text(f"kind: app\napp: {{name: x, mode: workflow}}\n{rest}\n")
    done = dslkit("convert", "app.yml", "--to", "plan")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("dslkit: app.yml: The document has no graph to make a plan of. Give")
    assert dslkit("diff", "app.yml", flow).code == 0
    assert dslkit("convert", "app.yml", "--to", "yaml").code == 0


def test_a_workflow_with_errors_is_shown_all_the_same(dslkit: Dslkit, flow: str) -> None:
    broken = yaml.safe_load(Path(flow).read_text())
    del broken["app"]
    broken["workflow"]["graph"]["edges"] = []
    Path("broken.yml").write_text(yaml.safe_dump(broken))
    assert dslkit("check", "broken.yml").code == 1
    for verb in (("draw",), ("convert", "--to", "yaml"), ("convert", "--to", "plan"), ("diff", flow)):
        assert dslkit(*verb, "broken.yml").code == 0


def test_another_version_is_written(dslkit: Dslkit, flow: str) -> None:
    """By both verbs that write Dify YAML; a plan has none, and says so."""
    dslkit("convert", flow, "--to", "plan", "-o", "flow.json")
    assert dslkit("convert", flow, "--to", "yaml", "--dsl-version", "0.3.1", "-o", "a.yml").code == 0
    assert dslkit("compile", "flow.json", "--dsl-version", "0.5.0", "-o", "b.yml").code == 0
    assert [yaml.safe_load(Path(name).read_text())["version"] for name in ("a.yml", "b.yml")] == ["0.3.1", "0.5.0"]
    assert dslkit("check", "a.yml", "b.yml").code == 0
    plan = dslkit("convert", flow, "--to", "plan", "--dsl-version", "0.5.0")
    assert plan.code == 0
    assert "a plan has no dsl version" in plan.err.lower()


@pytest.mark.parametrize("verb", [("convert", "--to", "yaml"), ("compile",)])
@pytest.mark.parametrize("version", ["9.9.9", "0.6", ""])
def test_a_version_that_is_not_known_is_refused(dslkit: Dslkit, flow: str, verb: tuple[str, ...], version: str) -> None:
    done = dslkit(*verb, flow, "--dsl-version", version, "-o", "out.yml")
    assert done.code == 2
    assert "0.3.0, 0.3.1, 0.4.0, 0.5.0, 0.6.0" in done.err
    assert not Path("out.yml").exists()


def test_files_are_held_against_their_requirements(dslkit: Dslkit, flow: str) -> None:
    """What was asked for by name is compared, as warnings; the verdict stays."""
    row = {"id": "flow", "requirement": "Translate.", "inputs": ["text"], "outputs": ["translated"]}
    Path("wanted.jsonl").write_text(json.dumps(row))
    Path("other.yml").write_bytes(Path(flow).read_bytes())
    done = dslkit("check", flow, "other.yml", "--requirements", "wanted.jsonl", "--json")
    assert done.code == 0
    held, other = ([f["code"] for f in report["findings"]] for report in json.loads(done.out)["files"])
    assert "requirement-outputs" in held
    assert "requirement-inputs" not in held
    assert "requirement-missing" in other
    assert dslkit("check", flow, "--requirements", "missing.jsonl").code == 2
