"""One file over https: resumed where it stopped, held to its digest, and put in place when it is whole.

The bytes go to ``NAME.part`` beside the target; only a file with the right digest gets the name itself. A redirect
may lead to another host, and never away from https.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualstream.features.published import PublishedFile
from dualstream.pipeline.disk import put_in_place, sync
from dualstream.pipeline.errors import DualstreamError

log = logging.getLogger(__name__)

CHUNK = 1 << 20  # bytes that are read at once
TIMEOUT_S = 30.0  # of a connection, and of each read
TRIES = 5  # connections, of which each goes on where the one before broke off
PAUSE_S = 1.0  # before the second one, and longer before each later one
MOST_REDIRECTS = 10
SHA256, SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")


class DownloadError(DualstreamError):
    """A file that could not be fetched; the message says why and what to do."""


class AbsentError(DownloadError):
    """The server has no such file."""


@dataclass(frozen=True)
class StatedFile:
    """What a server says of a file."""

    size: int | None = None
    """Bytes of the whole file."""
    sha256: str = ""
    git_blob: str = ""
    """SHA-1 as git has it of small files, which a hub gives in place of a SHA-256."""


@dataclass(frozen=True)
class Fetcher:
    """How files are fetched."""

    context: ssl.SSLContext | None = None
    """Whose certificates are believed; None: those of the system."""
    pause_s: float = PAUSE_S
    on_bytes: Callable[[int, int | None], None] = lambda count, total: None
    """Called, again and again, with the number of bytes that have come, and of all where that is known."""

    def fetch(self, file: PublishedFile, target: Path) -> str:
        """Fetch a file to `target` and return its SHA-256; go on where an earlier try stopped.

        Raises
        ------
        AbsentError
            Where the server has no such file.
        DownloadError
            Where the connection breaks again and again, the digest is another one, or something leads away
            from https.
        """
        part = target.with_name(f"{target.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = part.exists() and part.stat().st_size > 0
        stated = self._complete(file, part)
        try:
            sha256 = _checked(file, part, stated)
        except DownloadError:
            part.unlink()
            if not resumed:
                raise
            log.info("what was left of an earlier try is not of this file: it is fetched anew")
            stated = self._complete(file, part)
            try:
                sha256 = _checked(file, part, stated)
            except DownloadError:
                part.unlink()
                raise
        sync(part)
        put_in_place(part, target)
        return sha256

    def _complete(self, file: PublishedFile, part: Path) -> StatedFile:
        """Append to `part` until the file is there."""
        last: Exception | None = None
        for number in range(TRIES):
            if number:
                time.sleep(self.pause_s * number)
            try:
                return self._go_on(file.url, part)
            except urllib.error.HTTPError as error:
                if error.code in (404, 410, 401, 403):
                    raise AbsentError(f"{file.url}: the server answers {error.code} {error.reason}") from error
                if error.code == 416 and part.exists():  # it holds more than the file: another one's
                    part.unlink()
                last = error
            except (OSError, http.client.HTTPException) as error:
                if _is_of_the_disk(error):
                    raise
                last = error
            log.info("%s: %s", file.url, last)
        there = part.stat().st_size if part.exists() else 0
        if not there and not isinstance(last, urllib.error.HTTPError):
            raise DownloadError(_unreached(file.url, last, part)) from last
        raise DownloadError(
            f"{file.url} broke off {TRIES} times, at last with: {last}; {there:,} bytes are kept: run the same "
            "command again, and it goes on from there"
        ) from last

    def _go_on(self, url: str, part: Path) -> StatedFile:
        have = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(url, headers={"User-Agent": "dualstream", "Accept-Encoding": "identity"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        redirects = _Redirects()
        _require_https(url)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=self.context), redirects)
        try:
            answer = opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError):
                raise
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise DownloadError(f"{url}: its certificate is not believed: {error.reason}") from error
            raise ConnectionError(str(error.reason)) from error
        with answer:
            goes_on = answer.status == 206
            length = answer.headers.get("Content-Length")
            wanted = (have if goes_on else 0) + int(length) if length else None
            with part.open("ab" if goes_on else "wb") as out:
                self.on_bytes(out.tell(), wanted)
                while data := answer.read(CHUNK):
                    out.write(data)
                    self.on_bytes(out.tell(), wanted)
                there = out.tell()
        if wanted is not None and there < wanted:
            raise ConnectionError(f"{there:,} of {wanted:,} bytes came")
        return redirects.stated(answer.headers, wanted)


def _unreached(url: str, last: Exception | None, part: Path) -> str:
    """Say that nothing came from a server at all, and what to do on a machine without a way to it."""
    host = urllib.parse.urlsplit(url).hostname or ""
    proxy = "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get("https", "")
    bare = urllib.parse.urlsplit(proxy)
    way = f" by way of the proxy {bare.scheme}://{bare.netloc.rpartition('@')[2]}" if proxy else ""
    return (
        f"{url} can't be reached{way} ({TRIES} tries): {last}. Where the network has a proxy, name it in "
        f"HTTPS_PROXY; or fetch that file elsewhere and put it here as {part.with_suffix('')}"
    )


def _is_of_the_disk(error: Exception) -> bool:
    """Tell whether an error is no network's: a full disk, a folder that can't be written to."""
    if not isinstance(error, OSError) or isinstance(error, ConnectionError | TimeoutError | ssl.SSLError):
        return False
    return error.errno is not None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https alone, and notes what each answer says of the file."""

    max_redirections = MOST_REDIRECTS

    def __init__(self) -> None:
        self._seen: list[Any] = []

    def redirect_request(self, request: Any, answer: Any, code: int, reason: str, headers: Any, url: str) -> Any:
        """Refuse to leave https."""
        _require_https(url, come_from=request.full_url)
        self._seen.append(headers)
        return super().redirect_request(request, answer, code, reason, headers, url)

    def stated(self, headers: Any, size: int | None) -> StatedFile:
        """Return what the server said, the first answer first: that of a hub, before its file server's."""
        for one in (*self._seen, headers):
            tag = str(one.get("X-Linked-ETag") or "").strip('"')
            if SHA256.fullmatch(tag):
                return StatedFile(size, sha256=tag)
            tag = str(one.get("ETag") or "").removeprefix("W/").strip('"')
            if one.get("X-Repo-Commit") and SHA1.fullmatch(tag):
                return StatedFile(size, git_blob=tag)
        return StatedFile(size)


def _require_https(url: str, come_from: str = "") -> None:
    if urllib.parse.urlsplit(url).scheme != "https":
        led = f"{come_from} leads to " if come_from else ""
        raise DownloadError(
            f"{led}{url}, which is not https; nothing is fetched over a road that others can write on"
        )


def _checked(file: PublishedFile, part: Path, stated: StatedFile) -> str:
    """Return the SHA-256 of what came; refuse another one than was published, or than the server states."""
    data_sha256 = hashlib.sha256()
    blob = hashlib.sha1(f"blob {part.stat().st_size}\0".encode(), usedforsecurity=False)
    with part.open("rb") as source:
        while data := source.read(CHUNK):
            data_sha256.update(data)
            blob.update(data)
    found = data_sha256.hexdigest()
    if file.sha256:
        wanted, whose, good = file.sha256, "published", found.startswith(file.sha256)
    elif stated.sha256:
        wanted, whose, good = stated.sha256, "stated by the server", found == stated.sha256
    elif stated.git_blob:
        wanted, whose, good = stated.git_blob, "stated by the server", blob.hexdigest() == stated.git_blob
    else:
        raise DownloadError(f"{file.url}: no digest of it is known, and the server states none; it is not kept")
    if not good:
        raise DownloadError(
            f"{file.url}: its digest is {found}, and {wanted} is {whose}; it is not kept. Run the command again; "
            "where that does not help, the file there is another one than was published"
        )
    return found


def is_answered(host: str, port: int, wait_s: float) -> bool:
    """Tell whether anybody takes connections there; try again for a while."""
    end_s = time.monotonic() + wait_s
    while True:
        try:
            socket.create_connection((host, port), timeout=max(0.1, end_s - time.monotonic())).close()
        except OSError:
            if time.monotonic() + PAUSE_S > end_s:
                return False
            time.sleep(PAUSE_S)
        else:
            return True
