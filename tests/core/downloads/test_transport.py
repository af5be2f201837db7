"""Which addresses are opened, and how the environment has a say."""

from __future__ import annotations

import ssl
import urllib.error

import pytest
from hub_files import CONTENT, PATH
from hub_server import Hub

from magicface_core import __version__
from magicface_core.downloads import transport
from magicface_core.downloads.transport import Access, PassingError, request
from magicface_core.errors import ModelError

PLAIN = Access(mirror="http://hub.local:8080")


@pytest.mark.parametrize("value", ["1", "true", "yes", "ON"])
def test_offline_values(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MAGICFACE_OFFLINE", value)
    assert Access.from_environment().offline


@pytest.mark.parametrize("value", ["", "0", "false", "No", "off"])
def test_online_values(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MAGICFACE_OFFLINE", value)
    assert not Access.from_environment().offline


def test_a_mirror_replaces_only_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGICFACE_MIRROR", "https://mirror.example.org/hf/")
    access = Access.from_environment()
    assert access.address("https://huggingface.co/a/b") == "https://mirror.example.org/hf/a/b"
    for url in ("https://huggingface.co.evil.org/a", "https://raw.githubusercontent.com/a"):
        assert access.address(url) == url


@pytest.mark.parametrize(
    "value", ["hub.local", "file:///tmp", "ftp://a", "https://", "https://u:p@a"]
)
def test_useless_mirrors_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MAGICFACE_MIRROR", value)
    with pytest.raises(ModelError, match="MAGICFACE_MIRROR"):
        Access.from_environment()


@pytest.mark.parametrize(
    "url", ["https://anywhere.example.org/x", "http://hub.local:8080/x", "http://hub.local:8080/"]
)
def test_allowed(url: str) -> None:
    PLAIN.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://hub.local/x",
        "http://hub.local:8080.evil.org/x",
        "http://hub.local:8080@evil.org/x",
        "http://127.0.0.1/x",
        "file:///x",
        "ftp://hub.local:8080/x",
        "data:,x",
        "",
    ],
)
def test_refused(url: str) -> None:
    with pytest.raises(ModelError, match="not an https address"):
        PLAIN.check(url)


@pytest.mark.parametrize("access", [Access(), Access(mirror="https://hub.local:8080")])
def test_plain_http_needs_a_plain_mirror(access: Access) -> None:
    with pytest.raises(ModelError, match="not an https address"):
        access.check("http://hub.local:8080/x")


def test_only_the_request_is_sent(hub: Hub) -> None:
    with request(f"{hub.address}{PATH}", Access(mirror=hub.address), {}, 5) as answer:
        assert answer.status == 200
        assert answer.read(10) == CONTENT[:10]
    [(_, headers)] = hub.requests
    assert headers.pop("User-Agent") == f"magicface/{__version__}"
    assert headers.pop("Accept-Encoding") == "identity"
    assert set(headers) <= {"Host", "Connection"}


def test_a_proxy_of_the_environment_is_used(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub plays the proxy: it is asked for the whole address of an unreachable host."""
    monkeypatch.setenv("http_proxy", hub.address)
    monkeypatch.setenv("no_proxy", "")
    hub.files["http://hub.local:8080/x"] = b"through the proxy"
    with request("http://hub.local:8080/x", PLAIN, {}, 5) as answer:
        assert answer.read(100) == b"through the proxy"


def test_an_untrusted_certificate_is_final(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"

    class Opener:
        def open(self, *_: object, **__: object) -> None:
            raise urllib.error.URLError(error)

    monkeypatch.setattr(transport, "_opener", lambda *_: Opener())
    refused = pytest.raises(ModelError, match=r"certificate of a\.org is not trusted \(self-signed")
    with refused, request("https://a.org/x", Access(), {}, 5):
        pass


def test_a_name_that_does_not_resolve_is_worth_another_attempt() -> None:
    refused = pytest.raises(PassingError, match=r"no connection to nowhere\.invalid")
    with refused, request("https://nowhere.invalid/x", Access(), {}, 5):
        pass


def test_signatures_do_not_appear_in_messages() -> None:
    with pytest.raises(ModelError) as caught:
        Access().check("http://store.example.org/x?signature=secret")
    assert "secret" not in str(caught.value)
