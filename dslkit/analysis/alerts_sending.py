"""Messages of alerts on their way: to a webhook as Slack takes it, or by e-mail.  Bounded in time, encrypted."""

from __future__ import annotations

import json
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from email.message import EmailMessage
from html import escape
from http.client import HTTPException
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPMessage
    from typing import IO

    from dslkit.analysis.alerts_rules import Email, Rules, Webhook

TIMEOUT_S = 10.0
PAUSES_S = (1.0, 3.0)  # before the second and the third attempt
_SUBJECT_CHARACTERS = 120
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class DeliveryError(Exception):
    """A message did not arrive.  Says why, and no address or password."""


class _PassingError(DeliveryError):
    """… but might, if it is tried again."""


def channels(given: Rules, environment: Mapping[str, str]) -> dict[str, Callable[[str], None]]:
    """For each channel that the rules name, what sends a text there; that raises DeliveryError.

    Raises:
        UsageError: a variable that is to hold an address or a password is not set, or holds none.
    """
    found: dict[str, Callable[[str], None]] = {}
    if given.webhook is not None:
        found["webhook"] = _webhook(given.webhook, environment)
    if given.email is not None:
        found["email"] = _email(given.email, environment)
    return found


def persistently(send: Callable[[], None], sleep: Callable[[float], None] = time.sleep) -> None:
    """Try again after what may pass: three times in all."""
    for pause in (*PAUSES_S, None):
        try:
            return send()
        except _PassingError:
            if pause is None:
                raise
            sleep(pause)
    raise AssertionError("unreachable")


def _webhook(webhook: Webhook, environment: Mapping[str, str]) -> Callable[[str], None]:
    address = _secret(webhook.url_env, environment)
    if not _is_address(address):
        raise UsageError(f"{webhook.url_env} holds no https:// address.")
    return lambda text: persistently(lambda: _post(address, text))


def _is_address(text: str) -> bool:
    """Whether it can be posted to: encrypted, or to this machine.  What urllib would refuse it would also repeat."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # is checked when it is asked for
    except ValueError:
        return False
    if not (text.isascii() and text.isprintable()) or " " in text or "@" in parts.netloc:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname)))


def _post(address: str, text: str) -> None:
    """Certificates are verified, and redirects refused: a message that went elsewhere did not arrive."""
    body = json.dumps({"text": escape(text, quote=False)}).encode()  # Slack takes <!channel> for a call to all
    request = urllib.request.Request(  # noqa: S310 - https, or this machine: see _webhook
        address, data=body, headers={"Content-Type": "application/json", "User-Agent": "dslkit"}, method="POST"
    )
    direct = [urllib.request.ProxyHandler({})] * address.startswith(
        "http:"
    )  # to this machine, whatever HTTP_PROXY says
    opener = urllib.request.build_opener(_NoRedirect, *direct)
    try:
        with opener.open(request, timeout=TIMEOUT_S):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        kind = _PassingError if error.code in _PASSING else DeliveryError
        raise kind(f"the server answered {error.code}") from None
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(f"its certificate is not to be trusted: {error.verify_message}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DeliveryError(f"its certificate is not to be trusted: {error.reason.verify_message}") from None
        raise _PassingError(f"the server cannot be reached: {error.reason}") from None
    except OSError as error:
        raise _PassingError(f"the server cannot be reached: {error}") from None
    except HTTPException:
        raise _PassingError("what answers there does not speak HTTP") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """Nowhere."""


def _email(email: Email, environment: Mapping[str, str]) -> Callable[[str], None]:
    if email.security == "none" and not _is_here(email.host):
        raise UsageError(f'security = "none" is for a mail server on this machine, not for {email.host}.')
    user = _secret(email.user_env, environment) if email.user_env else None
    password = _secret(email.password_env, environment) if email.password_env else None
    if (user is None) != (password is None):
        raise UsageError("The mail server needs both user_env and password_env, or neither.")
    if not f"{user}{password}".isascii():
        raise UsageError("User and password of a mail server must be ASCII: its logins know nothing else.")
    return lambda text: persistently(lambda: _mail(email, text, user, password))


def _mail(email: Email, text: str, user: str | None, password: str | None) -> None:
    message = EmailMessage()
    message["From"], message["To"] = email.sender, ", ".join(email.to)
    message["Subject"] = f"dslkit: {text.splitlines()[0]}"[:_SUBJECT_CHARACTERS]
    message.set_content(text)
    try:
        with _connected(email) as server:
            if user is not None and password is not None:
                server.login(user, password)
            server.send_message(message)
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(f"its certificate is not to be trusted: {error.verify_message}") from None
    except smtplib.SMTPResponseException as error:
        kind = _PassingError if error.smtp_code < 500 else DeliveryError  # noqa: PLR2004 - SMTP's permanent refusals
        raise kind(f"the mail server answered {error.smtp_code}") from None
    except smtplib.SMTPRecipientsRefused as error:
        raise DeliveryError(f"the mail server refuses {', '.join(error.recipients)}") from None
    except smtplib.SMTPNotSupportedError as error:
        raise DeliveryError(f"the mail server: {error}") from None
    except (smtplib.SMTPException, OSError) as error:
        raise _PassingError(f"the mail server cannot be reached: {error}") from None


def _connected(email: Email) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if email.security == "tls":
        return smtplib.SMTP_SSL(email.host, email.port, timeout=TIMEOUT_S, context=context)
    server = smtplib.SMTP(email.host, email.port, timeout=TIMEOUT_S)
    if email.security == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server


def _secret(name: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise UsageError(f"The alert rules name the environment variable {name}, which is not set.")
    return value


def _is_here(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False
