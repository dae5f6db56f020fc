"""Which failures concern the account, not the request: the same answer awaits every further call, so a batch stops."""

from __future__ import annotations

from dslkit.errors import AccountError

_EXHAUSTED = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated"}
)
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _PAYMENT, _TOO_MANY = 401, 403, 404, 402, 429


def exhausted(code: str | None) -> bool:
    """Whether an error code says that the account has run dry (a 429 that no waiting cures)."""
    return code in _EXHAUSTED


def account_error(exception: BaseException) -> AccountError | None:
    """The AccountError that ``exception`` (raised by the openai SDK or a library on top of it) amounts to, or None.

    Looks along ``__cause__``, so that a library that wraps the SDK's error is understood too.
    """
    seen: BaseException | None = exception
    while seen is not None:
        if isinstance(seen, AccountError):
            return seen
        status = getattr(seen, "status_code", None)
        if isinstance(status, int):
            return _judge(seen, status, getattr(seen, "code", None))
        seen = seen.__cause__
    return None


def _judge(exception: BaseException, status: int, code: object) -> AccountError | None:
    text = str(code) if code is not None else None
    remedy = _remedy(status, text)
    if remedy is None:
        return None
    return AccountError(f"{_message(exception)} {remedy}", http_status=status, code=text)


def _remedy(status: int, code: str | None) -> str | None:
    if exhausted(code) or status == _PAYMENT:
        return "The account has no credit left: add some, or use another key, and run again."
    if status == _UNAUTHORIZED:
        return "The key is not accepted: check OPENAI_API_KEY and OPENAI_BASE_URL."
    if status == _FORBIDDEN:
        return "The key may not do this: check the project's permissions, or use another key."
    if status == _NOT_FOUND:
        return "The server does not know this model or address: check the model's name and OPENAI_BASE_URL."
    return None


def _message(exception: BaseException) -> str:
    body = getattr(exception, "body", None)
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"]).rstrip(". ") + "."
    return str(exception).rstrip(". ") + "."
