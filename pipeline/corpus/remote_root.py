"""A folder of clips that fsspec reads: ``s3://``, ``gs://``, ``https://``, ``memory://``, and what else it knows.

Its address may hold credentials (``user:password@``, a signed query): texts of it are redacted, all of them.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import shutil
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualstream.features.single_read import digest_of_file
from dualstream.pipeline.corpus.addresses import redacted, secrets_of, shown_address
from dualstream.pipeline.corpus.clip_files import REMEDY, NoClipError
from dualstream.pipeline.corpus.stated_digests import stated_digests
from dualstream.pipeline.corpus.store_calls import GivenUpError, StoreCalls, Watch
from dualstream.pipeline.errors import DualstreamError, UsageError
from dualstream.pipeline.executors import OrderedThreads
from dualstream.pipeline.provenance import digest_of

from dualstream.installation import install_hint

WEB = ("http", "https")  # a web server lists no folder: each file is asked for
TRIES = 3  # to fetch a file
PAUSE_S = 0.5  # before the second one, and twice as long before the third
CONNECT_S, READ_S = 10.0, 20.0  # the longest wait for a web server's answer, and for its next bytes
FETCH_S, SLOWEST_BYTES_PER_S = 60.0, 50_000  # the time for a file is this, and its size at this rate
ASKED_AT_ONCE = 16
ASKED_AGAIN = 1000  # files, at most, that are asked for one by one where a listing lacks them: it may be cut off
BELIEVED_S = 10.0  # after a question that a store did not answer, a file is not asked for again
SILENT = 16  # files in a row that a store does not answer for: then it is down, and each is asked for once
TAGS = (
    *("etag", "ETag", "mtime", "last_modified", "LastModified", "created", "updated", "generation"),
    *("Last-Modified", "Content-MD5", "Digest"),  # web servers
    *("modify", "modified"),  # FTP, WebDAV
    *("CRC", "date_time"),  # zip
)
UNTAGGED = (
    f"{os.getpid()} {time.time_ns()}"  # in their place: this run believes the size, the next one asks the bytes
)

LISTING = ("ftp",)  # to ask for one file is to list its folder: what the first listing said is not asked again
LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # what this machine says, and no store

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*(::[a-z][a-z0-9+.-]*)*://", re.IGNORECASE)
_ONE_SLASH = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What a store says of a file."""

    size_bytes: int
    """-1 where it does not say."""
    version: int
    """A number that changes with the file, of its tag or its time of change."""
    digests: tuple[tuple[str, str], ...] = ()
    """Names of algorithms, and the digests in hex that the store states; kept of what is asked for alone."""

    def is_same(self, other: RemoteFile) -> bool:
        """Tell whether the store says that it is the same file."""
        return (self.size_bytes, self.version) == (other.size_bytes, other.version)


class RemoteRoot:
    """Where a manifest's paths start, on another machine; in the place of a folder's `Path`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._protocol = url.partition("://")[0].rpartition("::")[2].lower()
        self._lock = threading.Lock()
        self._calls = StoreCalls()
        self._known: dict[str, RemoteFile | NoClipError] = {}
        self._unanswered_s: dict[str, float] = {}
        """When files that it did not answer for were asked for last, on this process's clock."""
        self._silent = 0
        """Files in a row that it did not answer for."""
        _ = self._system  # an unknown protocol is refused now

    def __str__(self) -> str:
        return shown_address(self._url)

    __repr__ = __str__

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteRoot, (self._url,)

    def is_dir(self) -> bool:
        """Tell whether there is anything below it; a web server is not asked.

        Raises
        ------
        UsageError, DualstreamError
            Where there is nothing, or the store does not answer.
        """
        if self._protocol in WEB:
            return True
        try:
            there = bool(self._system.isdir(self._base))
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            raise DualstreamError(f"{self} can't be read: {self._words(error)}") from None
        if not there:
            raise UsageError(
                f"the store has nothing at {self}, or does not say so: give the bucket and folder that the paths "
                "start from, and credentials that may list it"
            )
        return True

    def absolute(self) -> RemoteRoot:
        """Return itself, as a folder returns its absolute path."""
        return self

    @property
    def lists(self) -> bool:
        """Whether the store can list its files."""
        return self._protocol not in WEB

    def listed(self) -> list[str]:
        """Return the paths of all files below, relative to it, sorted.

        Raises
        ------
        DualstreamError
            Where the store lists none, as a web server does not.
        """
        if not self.lists:
            raise DualstreamError(f"{self} is on a web server, which lists no files; write the manifest by hand")
        try:
            return sorted(self._list())
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            raise DualstreamError(f"{self} can't be listed: {self._words(error)}") from None

    def look(self, paths: Iterable[str]) -> None:
        """Look at many files before they are asked for one by one: in one listing, or several at a time."""
        wanted = list(dict.fromkeys(paths))
        if not wanted:
            return
        if self.lists:
            with contextlib.suppress(Exception):  # who may read may not always list: then one by one
                found = self._list()
                lacking = [path for path in wanted if path not in found]
                with self._lock:
                    self._known |= {path: found.get(path) or _missing() for path in wanted}
                wanted = [] if self._protocol in LISTING or len(lacking) > ASKED_AGAIN else lacking
        threads: OrderedThreads[str, object] = OrderedThreads(
            self._ask, workers=ASKED_AT_ONCE, budget_bytes=1, size_bytes=lambda _: 0, stop=self.give_up
        )
        with contextlib.closing(threads.run(wanted)) as answers:
            deque(answers, maxlen=0)

    def give_up(self) -> None:
        """End what other threads wait for now: the run ends, and a store may be silent for minutes."""
        self._calls.give_up()

    def file(self, path: str, *, fresh: bool = False) -> RemoteFile:
        """Return what there is to say of a file, as it was first seen; `fresh`: as it is now.

        Raises
        ------
        NoClipError
            Where there is none (``missing``), or the store does not answer (``unfetched``).
        """
        with self._lock:
            found = self._known.get(path)
        if found is None or fresh or self._is_to_ask_again(path, found):
            found = self._ask(path)
        if isinstance(found, NoClipError):
            raise NoClipError(found.kind, found.text)
        return found

    def fetch(self, path: str, target: Path) -> tuple[RemoteFile, str]:
        """Fetch a file, whole or not at all; return what the store says of it, and its SHA-256.

        What came has the size and, where the store states them, the digests that are returned. A failure is tried
        again; a file that changed on the way is fetched anew.

        Raises
        ------
        NoClipError
            Where it can't be had (``unfetched``) or is gone (``missing``), with the reason.
        DualstreamError
            Where this machine can't keep it.
        """
        came: list[str] = []
        for attempt in range(TRIES):
            try:
                return self._fetch_once(path, target, came)
            except NoClipError:
                _remove(target)
                raise
            except Exception as error:
                _remove(target)
                if _is_local(error, target):
                    raise DualstreamError(
                        f"a clip could not be written below {target.parent}: {error}; expected room for 2 GiB of "
                        "clips: set TMPDIR to a folder that has it"
                    ) from error
                if _is_missing(error):
                    raise _missing() from None
                if attempt == TRIES - 1:
                    raise NoClipError(
                        "unfetched", f"tried {TRIES} times: {self._words(error)}; the next run tries again"
                    ) from None
                time.sleep(PAUSE_S * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _fetch_once(self, path: str, target: Path, came: list[str]) -> tuple[RemoteFile, str]:
        """Fetch a file once; `came` are the digests of what came before."""
        before = self.file(path)
        _remove(target)  # a store that goes on where it stopped would append to it
        limit_s = FETCH_S + max(before.size_bytes, 0) / SLOWEST_BYTES_PER_S
        watch = Watch(limit_s)
        try:
            self._calls.call(self._system.get_file, self._place(path), str(target), callback=watch)
        except GivenUpError:
            watch.end()
            raise
        if not target.is_file():
            raise OSError("nothing came")
        sha256, size = digest_of_file(target), os.path.getsize(target)
        now = before if self._protocol in LISTING else self.file(path, fresh=True)
        # Servers that share a name may each have their own tag for a file: then the same bytes come again.
        if not now.is_same(before) and came[-1:] != [sha256]:
            came.append(sha256)
            raise OSError("it changed while it was fetched")
        if now.size_bytes >= 0 and size != now.size_bytes:
            if size < now.size_bytes:
                raise OSError(f"it was cut off: {size:,} of {now.size_bytes:,} bytes came")
            raise OSError(
                f"{size:,} bytes came of what has {now.size_bytes:,} by the store; perhaps it is stored "
                "compressed, with a Content-Encoding that is undone on the way"
            )
        for name, stated in now.digests:
            found = sha256 if name == "sha256" else digest_of_file(target, name)
            if found != stated:
                raise OSError(f"it came damaged: its {name} is {found[:12]}, by the store {stated[:12]}")
        return now, sha256

    def _ask(self, path: str) -> RemoteFile | NoClipError:
        found = self._asked(path)
        for attempt in range(TRIES - 1):
            if not _is_unfetched(found) or self._silent >= SILENT:
                break
            time.sleep(PAUSE_S * 2**attempt)
            found = self._asked(path)
        with self._lock:
            self._silent = self._silent + 1 if _is_unfetched(found) else 0
            self._known[path] = found
            if _is_unfetched(found):
                self._unanswered_s[path] = time.monotonic()
        return found

    def _is_to_ask_again(self, path: str, found: RemoteFile | NoClipError) -> bool:
        return _is_unfetched(found) and time.monotonic() >= self._unanswered_s.get(path, 0.0) + BELIEVED_S

    def _asked(self, path: str) -> RemoteFile | NoClipError:
        """Ask for a file once, and the store itself: what a package keeps of a listing may be old."""
        place = self._place(path)
        try:
            if self._protocol not in LISTING:
                self._system.invalidate_cache(place)
                self._system.invalidate_cache(self._system._parent(place))
            found = _facts(self._calls.call(self._system.info, place))
            # answers without a body state a length of 0 where a program makes them that doesn't know better
            return replace(found, size_bytes=-1) if self._protocol in WEB and not found.size_bytes else found
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            return _missing() if _is_missing(error) else NoClipError("unfetched", self._words(error))

    def _list(self) -> dict[str, RemoteFile]:
        base = self._base.rstrip("/") + "/"
        found = self._system.find(self._base, detail=True)
        return {
            name.removeprefix(base): replace(_facts(facts), digests=())
            for name, facts in found.items()
            if name.startswith(base) and facts.get("type") == "file"
        }

    def _place(self, path: str) -> str:
        """Return the address of a file below; a query, which may be a signature, stays behind it."""
        if self._protocol not in WEB:
            return f"{self._base.rstrip('/')}/{path}"
        before, mark, query = self._base.partition("?")
        return f"{before.rstrip('/')}/{urllib.parse.quote(path)}{mark}{query}"

    @functools.cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            import fsspec
        except ImportError as error:
            raise DualstreamError(f"--root {self} needs the package fsspec: {install_hint('remote')}") from error
        more: dict[str, Any] = {}
        try:
            if self._protocol in WEB:
                import aiohttp

                waits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
                more = {"client_kwargs": {"timeout": waits}, "skip_instance_cache": True}
            if self._url.lower().startswith(tuple(f"{name}://" for name in WEB)):
                return fsspec.filesystem(self._protocol, **more), self._url  # a host such as [::1] is no chain
            system, base = fsspec.core.url_to_fs(self._url, **more)
        except ImportError as error:
            raise DualstreamError(f"--root {self}: {self._words(error)}; or {install_hint('remote')}") from None
        except Exception as error:  # noqa: BLE001 (each store has errors of its own)
            raise UsageError(f"--root {self} can't be opened: {self._words(error)}") from None
        return system, str(base)

    @property
    def _system(self) -> Any:
        return self._opened[0]

    @property
    def _base(self) -> str:
        return self._opened[1]

    def _words(self, error: BaseException) -> str:
        """Return an error and what it came from in one redacted line."""
        texts: list[str] = []
        seen: BaseException | None = error
        while seen is not None and len(texts) < 3:
            text = " ".join(str(seen).split())[:200]
            texts.append(f"{type(seen).__name__}: {text}" if text else type(seen).__name__)
            seen = seen.__cause__
        return redacted("; ".join(dict.fromkeys(texts)), secrets_of(self._url))


def clip_root(text: str | os.PathLike[str]) -> Path | RemoteRoot:
    """Return where a manifest's paths start: a folder, or a store that fsspec reads.

    Raises
    ------
    UsageError, DualstreamError
        Where fsspec knows no such protocol, or lacks a package for it.
    """
    match = _REMOTE.match(text) if isinstance(text, str) else None
    if not isinstance(text, str) or match is None:
        if isinstance(text, str) and _ONE_SLASH.match(text) and not os.path.exists(text):
            meant = text.replace(":/", "://", 1)
            raise UsageError(f"--root {shown_address(meant)} is given with one slash; an address has two")
        return Path(text)
    if text.lower().startswith("file://"):
        return Path(urllib.parse.unquote(re.sub(r"(?i)^file://(localhost(?=/))?", "", text)))
    protocols = match[0]
    return RemoteRoot(protocols.lower() + text[len(protocols) :])


def _facts(info: Any) -> RemoteFile:
    if info.get("type") == "directory":
        raise FileNotFoundError("a folder is there")
    stated = [str(info[name]) for name in TAGS if info.get(name) is not None] or [UNTAGGED]
    size = info.get("size")
    version = int(digest_of([size, *stated])[:15], 16)
    return RemoteFile(-1 if size is None else int(size), version, stated_digests(info))


def _is_missing(error: BaseException) -> bool:
    """Tell whether the store said that there is no such file; fsspec says so as well where a server is down."""
    while isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        if isinstance(error.__cause__, StopIteration | LookupError):  # it was sought in a listing
            return True
        error = error.__cause__
    return isinstance(error, FileNotFoundError) or getattr(error, "status", None) in (404, 410)


def _is_unfetched(found: RemoteFile | NoClipError) -> bool:
    return isinstance(found, NoClipError) and found.kind == "unfetched"


def _is_local(error: BaseException, target: Path) -> bool:
    """Tell whether it is this machine that can't keep a file: that says nothing of the store."""
    return isinstance(error, OSError) and (error.errno in LOCAL or not target.parent.is_dir())


def _remove(target: Path) -> None:
    """Remove what came, be it a folder: fsspec makes one where a store calls a file so."""
    if target.is_dir():
        shutil.rmtree(target, ignore_errors=True)
    with contextlib.suppress(OSError):
        target.unlink()


def _missing() -> NoClipError:
    return NoClipError("missing", f"there is no such file; {REMEDY}")
