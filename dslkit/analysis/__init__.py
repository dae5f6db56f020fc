"""Questions over the ledger: `dslkit.analysis.compare` holds two runs or periods against each other.

A `Scope` says which calls and items a question is about.
"""

from dslkit.analysis.scope import Scope, instant, scope_of

__all__ = ["Scope", "instant", "scope_of"]
