"""Fixes that need no language model: named, minimal, idempotent.

A repair never reads a requirement, and never drops a node or an edge to silence a finding; what has more than one
possible reading stays a finding.  Each answers one finding's code, so a workflow without errors is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dslkit.dify.check import check
from dslkit.dify.derive import derive
from dslkit.dify.graph import Graph
from dslkit.dify.repair import additions, code, containers, edges, fields, flow, references, templates
from dslkit.dify.repair.mend import Mend
from dslkit.records import Finding, Repair

__all__ = ["REPAIRS", "repair_document"]

MAX_NODES: Final = 1_000
_MAX_ROUNDS: Final = 25

_Rule = Callable[[Mend, Sequence[Finding]], None]

# In this order: what later ones look at is put right by earlier ones.
REPAIRS: Final[Mapping[str, tuple[_Rule, ...]]] = {
    "version-not-text": (fields.version_text,),
    "node-field-missing": (fields.missing_fields,),
    "start-variable-label": (fields.start_labels,),
    "start-variable-type": (fields.start_types,),
    "file-types": (fields.file_types,),
    "code-output-type": (fields.value_types,),
    "parameter-type": (fields.value_types,),
    "edge-to-nowhere": (edges.over_nothing,),
    "edge-id-twice": (edges.repeated_ids,),
    "iteration-output": (containers.move_in, containers.sole_result),
    "container-empty": (containers.move_in,),
    "container-start": (containers.start_node,),
    "edge-across-border": (containers.started_outside, edges.across_border),
    "cycle": (edges.back_to_start,),
    "edge-handle": (edges.wrong_handles,),
    "iterator-type": (additions.list_of_text,),
    "list-type": (additions.list_of_text,),
    "reference-output": (
        containers.asked_of_inside,
        containers.sole_result,
        references.fields_of_answer,
        references.groups_joined,
        references.unknown_output,
        additions.result_as_text,
    ),
    "reference-form": (references.malformed,),
    "reference-shape": (references.malformed,),
    "reference-node": (references.malformed, references.joined_without_node, containers.sole_result),
    "reference-into-container": (references.into_container,),
    "reference-unreachable": (flow.unreachable,),
    "terminal-unreachable": (flow.unreachable_end,),
    "reference-not-before": (flow.missing_edges,),
    "template-reference": (templates.references,),
    "template-fault": (templates.faults,),
    "template-variable": (templates.unknown_names,),
    "code-fault": (code.faults,),
    "code-argument": (code.arguments,),
    "code-returns": (code.returns,),
    "tool-unknown": (additions.chart_by_variable,),
    "operator-type": (fields.operators,),
    "condition-value": (fields.condition_values,),
}


def repair_document(document: dict[str, Any]) -> tuple[Repair, ...]:
    """Mend a document in place, until nothing more can be; returns what was done, in order.

    Nobody's reply has more than MAX_NODES nodes: larger graphs are left as they are.
    """
    if len(Graph(document).raw_nodes) > MAX_NODES:
        return ()
    done: list[Repair] = []
    tried: set[tuple[str, int]] = set()
    for _ in range(_MAX_ROUNDS):
        errors = [finding for finding in check(document) if finding.severity == "error"]
        codes = {finding.code for finding in errors}
        code_ = next((name for name in REPAIRS if name in codes and (name, len(done)) not in tried), None)
        if code_ is None:
            break
        tried.add((code_, len(done)))
        mend = Mend(document)
        for rule in REPAIRS[code_]:
            rule(mend, [finding for finding in errors if finding.code == code_])
        done += mend.done
    if done:
        derive(document, only=_touched(document, done))
    return tuple(done)


def _touched(document: dict[str, Any], done: Sequence[Repair]) -> set[str]:
    """The nodes mended and those that take their outputs: what follows from types may have changed there."""
    mended = {repair.node for repair in done if repair.node}
    uses = Graph(document).uses
    return mended | {id_ for id_, found in uses.items() if any(use.node in mended for use in found)}
