"""One HTTP request: which addresses are allowed, and what went wrong in words.

Of the whole library only this module opens connections. Proxies come from the environment
(``HTTPS_PROXY``, ``NO_PROXY``), as urllib reads it; nothing is ever sent but the request itself.
"""

from __future__ import annotations

import http.client
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from .. import __version__
from ..errors import ModelError
from .catalogue import HUB

MIRROR_VARIABLE = "MAGICFACE_MIRROR"
OFFLINE_VARIABLE = "MAGICFACE_OFFLINE"
MAX_REDIRECTIONS = 5

_OFF = ("", "0", "false", "no", "off")
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_RANGE_REFUSED = 416


class PassingError(Exception):
    """A fault that another attempt may not meet; ``wait`` is how long the server asks to wait."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


@dataclass(frozen=True)
class Access:
    """What the environment allows: nothing at all (offline), or the hub through a mirror."""

    offline: bool = False
    mirror: str | None = None

    @classmethod
    def from_environment(cls) -> Access:
        """Read MAGICFACE_OFFLINE and MAGICFACE_MIRROR; raises ModelError for a useless mirror."""
        offline = os.environ.get(OFFLINE_VARIABLE, "").strip().lower() not in _OFF
        mirror = os.environ.get(MIRROR_VARIABLE, "").strip().rstrip("/") or None
        parts = urlsplit(mirror or HUB)
        if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc:
            raise ModelError(
                f'{MIRROR_VARIABLE} is "{mirror}"; give an address such as https://hub.example.org.'
            )
        return cls(offline, mirror)

    def address(self, url: str) -> str:
        """Where a file is really fetched from; raises ModelError when offline."""
        if self.offline:
            raise ModelError(
                f"{OFFLINE_VARIABLE} is set, so {url} is not fetched; unset it, or copy the file "
                "by hand to where `magicface models path` says."
            )
        if self.mirror is not None and url.startswith(f"{HUB}/"):
            return self.mirror + url.removeprefix(HUB)
        return url

    def check(self, url: str) -> None:
        """Raise ModelError for an address that is neither https nor the mirror's own."""
        parts = urlsplit(url)
        plain = self.mirror is not None and self.mirror.startswith("http://")
        own = plain and parts.netloc == urlsplit(self.mirror or "").netloc
        if parts.scheme != "https" and not (parts.scheme == "http" and own):
            raise ModelError(
                f"{_shown(url)} is not an https address, so nothing is fetched from there; try "
                f"later or another mirror ({MIRROR_VARIABLE})."
            )


class Answer:
    """A response: its status, its headers, those of the redirections before it, its body."""

    def __init__(self, response: Any, status: int, hops: list[Message]) -> None:
        self._response = response
        self.status = status
        self._hops = [*hops, response.headers]

    def header(self, name: str) -> str | None:
        """A header of the final response."""
        value = self._hops[-1].get(name)
        return None if value is None else str(value).strip()

    def any_header(self, name: str) -> str | None:
        """The first header of this name on the way here: hubs tell more than their stores."""
        return next((str(hop[name]).strip() for hop in self._hops if hop[name]), None)

    def read(self, size: int) -> bytes:
        """The next bytes as they come, empty at the end; raises PassingError."""
        try:
            return bytes(self._response.read1(size))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise PassingError(f"the connection broke: {_reason(error)}") from error


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows only where ``Access.check`` allows."""

    max_redirections = MAX_REDIRECTIONS

    def __init__(self, access: Access, hops: list[Message]) -> None:
        self._access, self._hops = access, hops

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        self._access.check(newurl)
        self._hops.append(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def request(
    url: str, access: Access, headers: Mapping[str, str], timeout: float
) -> Iterator[Answer]:
    """GET an address.

    Args:
        timeout: seconds without a single byte before the connection counts as broken.

    Raises:
        ModelError: not allowed, not there, or refused for good.
        PassingError: worth another attempt.
    """
    access.check(url)
    hops: list[Message] = []
    opener = _opener(access, hops)
    sent = {"User-Agent": f"magicface/{__version__}", "Accept-Encoding": "identity", **headers}
    try:
        response = opener.open(urllib.request.Request(url, headers=sent), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != _RANGE_REFUSED:
                raise _refusal(error, url) from error
            yield Answer(error, error.code, hops)
        return
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _no_connection(error, url) from error
    with response:
        yield Answer(response, response.status, hops)


def _opener(access: Access, hops: list[Message]) -> urllib.request.OpenerDirector:
    """An opener without urllib's handlers for file:, ftp: and data: addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirections(access, hops),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _refusal(error: urllib.error.HTTPError, url: str) -> Exception:
    """The status in words."""
    where = _shown(url)
    if error.code in _PASSING:
        return PassingError(f"{where} answers {error.code} {error.reason}", _wait(error))
    if 300 <= error.code < 400:
        return ModelError(
            f"{where} redirects to where nothing is fetched from "
            f"({' '.join(str(error.reason).split())[:200]}); try another {MIRROR_VARIABLE}."
        )
    if error.code in (404, 410):
        advice = "the file was moved or removed; update MagicFace, or copy it by hand"
    elif error.code in (401, 403, 407):
        advice = "access is refused; check the proxy, or copy the file by hand"
    else:
        advice = "try later, or copy the file by hand"
    return ModelError(f"{where} answers {error.code} {error.reason}: {advice}.")


def _no_connection(error: Exception, url: str) -> Exception:
    """A failure before any answer, in words."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    host = urlsplit(url).netloc
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ModelError(
            f"The certificate of {host} is not trusted ({cause.verify_message}); check clock, "
            "proxy and certificates of this computer."
        )
    return PassingError(f"no connection to {host} ({_reason(cause)})")


def _wait(error: urllib.error.HTTPError) -> float:
    """Seconds that the server asks to wait; 0 where it does not, or gives a date."""
    text = str(error.headers.get("Retry-After", "")).strip()
    return float(text) if text.isdecimal() and len(text) < 6 else 0.0


def _shown(url: str) -> str:
    """An address without its query, which may hold a signature, and of bearable length."""
    return url.partition("?")[0][:200]


def _reason(error: object) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
