"""Downloads through a proxy that the environment names, and without any network: on the loopback address."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dualstream.features.published import PublishedFile
from dualstream.pipeline.storage.download import DownloadError

from tests.pipeline.storage.loopback import DATA, SHA256, Site, fetcher, serving

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as made:
        yield made


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """Run a proxy that opens tunnels; give its address and what it was asked for."""
    asked: list[str] = []

    class Tunnel(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=10) as other:
                self.send_response(200)
                self.end_headers()
                ends = {self.connection: other, other: self.connection}
                while ready := select.select(list(ends), [], [], 10)[0]:
                    for one in ready:
                        data = one.recv(1 << 16)
                        if not data:
                            return
                        ends[one].sendall(data)

        def log_message(self, *how: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tunnel)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_of_the_environment_is_taken_and_the_tls_stays_the_servers(
    site: Site, proxy: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    address, asked = proxy
    monkeypatch.setenv(name, address)
    site.cut = [1000]
    assert fetcher().fetch(PublishedFile("f", f"{site.url}/file", len(DATA), SHA256), tmp_path / "f") == SHA256
    assert asked == [site.url.removeprefix("https://")] * 2  # a tunnel for each connection
    assert [one for _, one in site.asked] == [None, "bytes=1000-"]


def test_hosts_that_need_no_proxy_are_asked_themselves(
    site: Site, proxy: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, asked = proxy
    monkeypatch.setenv("HTTPS_PROXY", address)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fetcher().fetch(PublishedFile("f", f"{site.url}/file", len(DATA), SHA256), tmp_path / "f")
    assert asked == []


def test_a_proxy_that_is_not_there_is_named(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(
        DownloadError, match=r"can't be reached by way of the proxy http://127\.0\.0\.1:\d+.*refused"
    ):
        fetcher().fetch(PublishedFile("f", f"{site.url}/file", len(DATA), SHA256), tmp_path / "f")
    assert site.asked == []


def test_a_proxys_password_is_not_shown(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{closed_port()}")
    with pytest.raises(DownloadError, match="can't be reached") as raised:
        fetcher().fetch(PublishedFile("f", f"{site.url}/file", len(DATA), SHA256), tmp_path / "f")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_without_a_network_it_says_what_to_do(host: str, tmp_path: Path) -> None:
    url = f"https://{host}:{closed_port()}/file.bin"
    with pytest.raises(DownloadError) as raised:
        fetcher().fetch(PublishedFile("file.bin", url, None, SHA256), tmp_path / "file.bin")
    said = str(raised.value)
    assert said.startswith(f"{url} can't be reached (5 tries)") and "broke off" not in said
    assert "HTTPS_PROXY" in said and f"as {tmp_path / 'file.bin'}" in said
    assert list(tmp_path.iterdir()) == []
