"""A workflow from wherever it comes: a model's reply, a plan, or Dify YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dslkit.dify.check import check
from dslkit.dify.compile import DEFAULT_DSL_VERSION, AppMode, compile_plan
from dslkit.dify.decompile import decompile
from dslkit.dify.draw import draw
from dslkit.dify.graph import Graph
from dslkit.dify.nodes import mappings
from dslkit.dify.plan import Plan, parse_plan
from dslkit.dify.repair import repair_document
from dslkit.dify.yaml_text import read_yaml, write_yaml

if TYPE_CHECKING:
    from dslkit.records import Finding, Repair

DEFAULT_NAME = "Workflow"


@dataclass(frozen=True)
class Workflow:
    """A Dify document with everything there is to say about it.

    ``document`` is empty when nothing could be read; ``findings`` then say why.  ``repairs`` names each liberty taken
    in reading and each fix made.  Bad content never raises.
    """

    document: dict[str, Any]
    findings: tuple[Finding, ...]
    repairs: tuple[Repair, ...] = ()

    @classmethod
    def from_reply(
        cls,
        text: str,
        *,
        name: str = DEFAULT_NAME,
        mode: AppMode = "workflow",
        dsl_version: str = DEFAULT_DSL_VERSION,
        repair: bool = True,
    ) -> Workflow:
        """From what a language model answered: parsed, compiled, repaired (unless told not to) and checked."""
        parsed = parse_plan(text)
        if parsed.plan is None:
            return cls({}, parsed.findings, parsed.forgiven)
        workflow = cls.from_plan(parsed.plan, name=name, mode=mode, dsl_version=dsl_version, repair=repair)
        return cls(workflow.document, (*parsed.findings, *workflow.findings), (*parsed.forgiven, *workflow.repairs))

    @classmethod
    def from_plan(
        cls,
        plan: Plan,
        *,
        name: str = DEFAULT_NAME,
        mode: AppMode = "workflow",
        dsl_version: str = DEFAULT_DSL_VERSION,
        repair: bool = True,
    ) -> Workflow:
        """From a plan: compiled, repaired (unless told not to) and checked."""
        document = compile_plan(plan, name=name, mode=mode, dsl_version=dsl_version)
        repairs = repair_document(document) if repair else ()
        return cls(document, check(document), repairs)

    @classmethod
    def from_yaml(cls, text: str | bytes, *, repair: bool = False) -> Workflow:
        """From a Dify app export, any version."""
        document, findings = read_yaml(text)
        if not isinstance(document, Mapping):
            return cls({}, findings or check(document))
        repairs = repair_document(document) if repair and isinstance(document, dict) else ()
        return cls(dict(document), (*findings, *check(document)), repairs)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep it from working."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @cached_property
    def yaml(self) -> str:
        """The document as Dify YAML; empty when there is none."""
        return write_yaml(self.document) if self.document else ""

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The names of the start variables, in order."""
        starts = (node for node in Graph(self.document).nodes.values() if node.type == "start")
        return tuple(
            str(v["variable"]) for node in starts for v in mappings(node.data.get("variables")) if v.get("variable")
        )

    @cached_property
    def outputs(self) -> tuple[tuple[str, ...], ...]:
        """The names that each end node gives, in order."""
        ends = (node for node in Graph(self.document).nodes.values() if node.type == "end")
        return tuple(
            tuple(str(o["variable"]) for o in mappings(node.data.get("outputs")) if o.get("variable")) for node in ends
        )

    def plan(self) -> Plan:
        """The workflow in short form, to be changed and compiled again; raises ValueError when it has no graph."""
        return decompile(self.document)

    def _repr_svg_(self) -> str:
        return draw(self.document)

    def _repr_html_(self) -> str:
        """The picture in a frame that scrolls: where notebooks show a bare SVG, they cut it at the right."""
        return f'<div style="overflow-x:auto" tabindex="0">{draw(self.document)}</div>'
