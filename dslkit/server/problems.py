"""Errors as answers: application/problem+json (RFC 9457), with a status that tells whose turn it is."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tornado import web

from dslkit.errors import (
    AccountError,
    BudgetError,
    DslkitError,
    LedgerError,
    SettingsError,
    TooLargeError,
    UsageError,
    WaitTooLongError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError

MEDIA_TYPE = "application/problem+json"
DEFECT = int(HTTPStatus.INTERNAL_SERVER_ERROR)

# The first that fits counts.
_STATUS: tuple[tuple[type[DslkitError], HTTPStatus], ...] = (
    (BudgetError, HTTPStatus.PAYMENT_REQUIRED),
    (TooLargeError, HTTPStatus.CONTENT_TOO_LARGE if hasattr(HTTPStatus, "CONTENT_TOO_LARGE") else HTTPStatus(413)),
    (WaitTooLongError, HTTPStatus.SERVICE_UNAVAILABLE),
    (AccountError, HTTPStatus.BAD_GATEWAY),
    (SettingsError, HTTPStatus.INTERNAL_SERVER_ERROR),
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (LedgerError, HTTPStatus.INTERNAL_SERVER_ERROR),
)


class ProblemError(web.HTTPError):
    """Ends a request with a problem; ``headers`` and ``more`` (further members) go with it."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(status)
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = dict(more or {})


def invalid(error: ValidationError) -> ProblemError:
    """What a client sent does not fit its model; values are not repeated."""
    details = error.errors(include_input=False, include_url=False, include_context=False)
    errors = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in details]
    first = errors[0]
    text = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
    return ProblemError(422, text, more={"errors": errors})


def status_of(error: Exception) -> int:
    """The status for an error of ours that was meant; a defect is anything else."""
    return next((int(status) for kind, status in _STATUS if isinstance(error, kind)), DEFECT)


def went_wrong(request_id: str) -> str:
    """What a client is told of a defect of ours."""
    return f"Something went wrong here; the server's log has it under {request_id}."


def without_secrets(value: Any) -> Any:
    """JSON as a client may see it: without anything that looks like a credential."""
    from dslkit.ledger.redact import redact_values  # noqa: PLC0415 - loads the ledger

    return redact_values(value)


def body(status: int, detail: str, request_id: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a problem."""
    title = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    told = {"type": "about:blank", "title": title, "status": status, "request_id": request_id}
    return {**told, **without_secrets({"detail": detail, **more})}
