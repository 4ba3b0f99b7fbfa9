"""A server on the loopback address that says who asked, breaks off, redirects and lacks files."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dualstream.pipeline.storage.download import Fetcher

PEM = Path(__file__).with_name("loopback.pem")  # a certificate for 127.0.0.1 that nobody else believes
DATA = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(DATA).hexdigest()


@dataclass
class Site:
    """What the server does, by path, and what it was asked."""

    url: str = ""
    data: bytes = DATA
    cut: list[int] = field(default_factory=list)
    """After how many bytes each next answer breaks off."""
    ranges: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


def serve(site: Site, *, tls: bool) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted))
            if self.path in site.redirects:
                self.send_response(302)
                self.send_header("Location", site.redirects[self.path])
                for name, value in site.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if self.path == "/absent":
                self.send_error(404)
                return
            first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and site.ranges else 0
            if first >= len(site.data) > 0 and first:
                self.send_error(416)
                return
            body = site.data[first:]
            self.send_response(206 if first else 200)
            if self.path not in site.redirects.values():
                for name, value in site.headers.items():
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: site.cut.pop(0)] if site.cut else body)

        def log_message(self, *how: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@contextmanager
def serving() -> Iterator[Site]:
    """Serve over TLS for the length of a block."""
    made = Site()
    server = serve(made, tls=True)
    made.url = f"https://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def fetcher(**how: Any) -> Fetcher:
    return Fetcher(context=ssl.create_default_context(cafile=PEM), pause_s=0.0, **how)
