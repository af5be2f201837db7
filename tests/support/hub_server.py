"""A file server on this machine that can misbehave, in the place of a model hub."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Trick = Callable[["Request"], None]


@dataclass
class Hub:
    """Files by path; tricks are what the next requests of a path meet, one each, then none."""

    files: dict[str, bytes] = field(default_factory=dict)
    tricks: dict[str, list[Trick]] = field(default_factory=dict)
    etag: str = '"first"'
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        """The Range header of each request so far."""
        return [headers.get("Range") for _, headers in self.requests]


class Request(BaseHTTPRequestHandler):
    """One request; tricks call ``send`` with what they twist."""

    protocol_version = "HTTP/1.0"
    hub: Hub

    def do_GET(self) -> None:
        self.hub.requests.append((self.path, dict(self.headers)))
        waiting = self.hub.tricks.get(self.path, [])
        if waiting:
            waiting.pop(0)(self)
        elif self.path in self.hub.files:
            self.serve()
        else:
            self.send(404, b"nothing here")

    @property
    def content(self) -> bytes:
        return self.hub.files[self.path]

    def serve(self) -> None:
        """As a good server does: a range only of what the client knows already."""
        wanted = self.headers.get("Range", "")
        if not wanted or self.headers.get("If-Range", self.hub.etag) != self.hub.etag:
            self.send(200, self.content)
            return
        start, whole = int(wanted.removeprefix("bytes=").rstrip("-")), len(self.content)
        if start >= whole:
            self.send(416, b"")
            return
        span = f"bytes {start}-{whole - 1}/{whole}"
        self.send(206, self.content[start:], {"Content-Range": span})

    def send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        length: int | None = -1,
    ) -> None:
        """Status, headers, body; length None sends none, -1 the right one."""
        self.send_response(status)
        sent = {"ETag": self.hub.etag, **self.hub.headers, **(headers or {})}
        if length is not None:
            sent["Content-Length"] = str(len(body) if length == -1 else length)
        for name, value in sent.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def drop_after(count: int) -> Trick:
    """Announce all, send a piece from where the client is, hang up."""

    def trick(request: Request) -> None:
        wanted = request.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        whole = len(request.content)
        span = {"Content-Range": f"bytes {start}-{whole - 1}/{whole}"} if wanted else {}
        body = request.content[start : start + count]
        request.send(206 if wanted else 200, body, span, length=whole - start)

    return trick


def status(code: int, headers: dict[str, str] | None = None) -> Trick:
    """Answer with a status and nothing else."""
    return lambda request: request.send(code, b"", headers)


def redirect(target: str) -> Trick:
    """Send elsewhere."""
    return status(302, {"Location": target})


def body(content: bytes, **options: object) -> Trick:
    """Send other bytes; options as for ``Request.send``."""
    return lambda request: request.send(200, content, **options)  # type: ignore[arg-type]


def without_ranges(request: Request) -> None:
    """Always the whole file."""
    request.send(200, request.content)


def hang(request: Request) -> None:
    """Headers and one byte, then silence until the server closes."""
    request.send(200, request.content[:1], length=len(request.content))
    request.wfile.flush()
    request.hub.closing.wait(20)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Run a hub on a free port."""
    handler = type("Handler", (Request,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
