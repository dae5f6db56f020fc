"""The errors a caller may want to tell apart.  Everything else is a built-in exception.

DslkitError
├── UsageError            the caller must change something: arguments, files, settings (exit code 2)
│   └── SettingsError     a setting is missing or wrong; names it, and the remedy
├── RefusedError          the throttle or the budget will not send this request
│   ├── TooLargeError     the request alone is larger than a limit; waiting would not help
│   ├── WaitTooLongError  the queue is longer than ``max_wait``
│   └── BudgetError       spent + reserved + this request would exceed a budget
├── AccountError          the provider refuses the key, the model or the account: stop the batch
└── LedgerError           the ledger cannot be written or read truthfully
"""

from __future__ import annotations


class DslkitError(Exception):
    """Base of all; its text says what happened and what to do next."""


class UsageError(DslkitError):
    """The caller must change something before this can work."""


class SettingsError(UsageError):
    """A setting is missing or wrong."""


class RefusedError(DslkitError):
    """Not sent: the throttle or a budget refused."""


class TooLargeError(RefusedError):
    """The request alone is larger than a limit."""


class WaitTooLongError(RefusedError):
    """The wait would be longer than ``max_wait``."""


class BudgetError(RefusedError):
    """A budget would be exceeded."""


class AccountError(DslkitError):
    """Key, model or account refused by the provider; the same answer awaits every further call."""

    def __init__(self, message: str, *, http_status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.code = code


class LedgerError(DslkitError):
    """The ledger cannot be written or read truthfully."""
