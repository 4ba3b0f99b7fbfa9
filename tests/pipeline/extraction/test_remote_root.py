"""Clips from a store: fetched, hashed, decoded, dropped; the same cache as from a folder, and no credential anywhere."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dualstream.pipeline.commands.check import main as check
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.commands.manifest import main as make_manifest
from dualstream.pipeline.corpus import remote_root, scratch
from dualstream.pipeline.corpus.addresses import redacted, secrets_of, shown_address, with_shown_addresses
from dualstream.pipeline.corpus.manifest import read_manifest
from dualstream.pipeline.corpus.remote_root import RemoteRoot, clip_root
from dualstream.pipeline.corpus.scratch import Scratch
from dualstream.pipeline.errors import DualstreamError, UsageError
from dualstream.pipeline.extraction import clip_workers
from dualstream.pipeline.extraction.presence import ClipsGoneError
from dualstream.pipeline.extraction.remote_clips import hasher_of
from dualstream.pipeline.extraction.request import ExtractReport, RunOptions
from dualstream.pipeline.extraction.staleness import ABSENT
from dualstream.pipeline.options.corpus import CheckOptions
from dualstream.pipeline.options.features import ExtractCommand
from dualstream.pipeline.options.generate import build
from dualstream.pipeline.storage import temporary

from tests.pipeline.crashing import CrashingReader
from tests.pipeline.option_values import values_of
from tests.pipeline.stubs import STUBS, FakeReader, listing, make_corpus, run_extract, stub_recipe

fsspec = pytest.importorskip("fsspec")
CLIPS = 9
SECRETS = ("hunter2", "wordpass", "c2lnbmVk")


@pytest.fixture(autouse=True)
def scratch_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch below the test's folder, and do not wait long before trying again."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(remote_root, "PAUSE_S", 0.01)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return make_corpus(tmp_path / "clips", CLIPS)


@pytest.fixture
def reference(corpus: Path, tmp_path: Path) -> bytes:
    run_extract(corpus, tmp_path / "reference" / "cache.h5")
    return (tmp_path / "reference" / "cache.h5").read_bytes()


@pytest.fixture
def memory(corpus: Path, tmp_path: Path) -> Iterator[str]:
    system = fsspec.filesystem("memory")
    for path in corpus.parent.glob("*.mp4"):
        system.pipe_file(f"/bucket/clips/{path.name}", path.read_bytes())
    yield "memory://bucket/clips"
    system.rm("/bucket", recursive=True)


def run(
    manifest: Path, url: str, out: Path, *, reader: Any = None, notices: list[str] | None = None, **more: Any
) -> ExtractReport:
    def recipe(chosen: Any, **how: Any) -> Any:
        return stub_recipe(chosen, reader=reader, **how)

    return extract(
        manifest,
        root=clip_root(url),
        out=out,
        options=STUBS,
        run=RunOptions(**{"shard_size": 3, "workers": 2, **more}),
        notice=(notices if notices is not None else []).append,
        build_recipe=recipe,
    )


# A store that lists


def test_the_same_cache_as_from_a_folder(corpus: Path, memory: str, tmp_path: Path, reference: bytes) -> None:
    out = tmp_path / "out" / "cache.h5"
    assert run(corpus, memory, out).made == CLIPS
    assert out.read_bytes() == reference
    assert list((tmp_path / "tmp").iterdir()) == []
    reader = FakeReader()
    assert run(corpus, memory, out, reader=reader).kept == CLIPS and reader.calls == []


def test_only_what_changed_in_the_store_is_made_again(corpus: Path, memory: str, tmp_path: Path) -> None:
    out = tmp_path / "out" / "cache.h5"
    run(corpus, memory, out)
    system = fsspec.filesystem("memory")
    system.pipe_file("/bucket/clips/clip4.mp4", b"another clip")
    system.rm_file("/bucket/clips/clip8.mp4")
    report = run(corpus, memory, out)
    assert report.made == 6 and [name for name, _ in report.failed] == ["u8"]
    assert report.failed[0].reason.startswith("missing: there is no such file")


@pytest.mark.skipif(sys.platform == "win32", reason="clips are decoded on Linux and macOS")
def test_worker_processes_read_what_the_run_fetched(
    corpus: Path, memory: str, tmp_path: Path, reference: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is in this process's memory: a worker that asked for itself would find nothing."""
    monkeypatch.setattr(clip_workers, "LEAST_CLIPS", 0)
    (tmp_path / "notes").mkdir()
    out = tmp_path / "out" / "cache.h5"
    report = run(corpus, memory, out, reader=CrashingReader(notes=tmp_path / "notes"))
    assert (report.made, report.failed) == (CLIPS, []) and out.read_bytes() == reference
    assert list((tmp_path / "tmp").iterdir()) == []
    system = fsspec.filesystem("memory")
    system.pipe_file("/bucket/clips/clip4.mp4", b"segv now")
    system.rm_file("/bucket/clips/clip8.mp4")
    report = run(corpus, memory, out, reader=CrashingReader(notes=tmp_path / "notes"))
    assert [(one.id, one.reason.partition(":")[0]) for one in report.failed] == [
        ("u4", "crashed"),
        ("u8", "missing"),
    ]


def test_scratch_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = fsspec.filesystem("memory")
    manifest = make_corpus(tmp_path / "large", 12, contents={n: bytes([n]) * 1000 for n in range(12)})
    for path in manifest.parent.glob("*.mp4"):
        system.pipe_file(f"/large/{path.name}", path.read_bytes())
    system.pipe_file("/large/clip5.mp4", b"5" * 5000)  # larger than the bound: it gets in, alone
    monkeypatch.setattr(scratch, "LIMIT_BYTES", 3500)
    most: list[int] = []

    class Weighing(FakeReader):
        def __call__(self, *args: Any, **more: Any) -> Any:
            files = [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
            most.append(sum(path.stat().st_size for path in files if path.exists()))
            return super().__call__(*args, **more)

    report = run(manifest, "memory://large", tmp_path / "out" / "cache.h5", reader=Weighing(), workers=4)
    system.rm("/large", recursive=True)
    assert report.made == 12 and report.failed == []
    assert max(most) <= 5000 and sorted(most)[-2] <= 3500 and len(most) == 12


def test_a_film_of_many_spans_is_fetched_once(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = RemoteRoot(memory)
    fetched: list[str] = []
    real = RemoteRoot.fetch

    def counted(self: RemoteRoot, path: str, target: Path) -> Any:
        fetched.append(path)
        return real(self, path, target)

    monkeypatch.setattr(RemoteRoot, "fetch", counted)
    here = Scratch(root, limit_bytes=12)  # two of 6 bytes each
    for path in ("clip0.mp4", "clip0.mp4", "clip1.mp4", "clip0.mp4", "clip2.mp4", "clip0.mp4", "clip1.mp4"):
        with here.held(path), here.held(path):
            assert here.fetch(path).read_bytes() == f"clip {path[4]}".encode()
    assert fetched == ["clip0.mp4", "clip1.mp4", "clip2.mp4", "clip1.mp4"]
    here.close()
    assert not here.folder.exists()


def test_scratch_of_a_killed_run_goes(memory: str, tmp_path: Path) -> None:
    import subprocess

    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    machine = temporary.owner().partition("-")[0]
    (tmp_path / "tmp" / f"dualstream-clips-{machine}-{dead.stdout.strip()}-1-abc").mkdir()
    here = Scratch(RemoteRoot(memory))
    assert list((tmp_path / "tmp").iterdir()) == [here.folder]


def test_scratch_of_another_machine_stays(memory: str, tmp_path: Path) -> None:
    """Where machines or containers share TMPDIR, a number that is nobody's here may be a live process there."""
    other = tmp_path / "tmp" / "dualstream-clips-0123456789-99999999-1-abc"
    other.mkdir()
    here = Scratch(RemoteRoot(memory))
    assert sorted((tmp_path / "tmp").iterdir()) == sorted([here.folder, other])
    long_ago_s = time.time() - 2 * temporary.LEFT_AFTER_S
    os.utime(other, (long_ago_s, long_ago_s))
    Scratch(RemoteRoot(memory)).close()
    assert list((tmp_path / "tmp").iterdir()) == [here.folder]


def test_manifest_and_check_over_a_store(tmp_path: Path) -> None:
    from tests.pipeline.commands.test_extract_cli import draw_clip

    system = fsspec.filesystem("memory")
    draw_clip(tmp_path / "a.mp4", 1)
    for name in ("joy/a.mp4", "joy/b.mp4", "anger/c.mp4"):
        system.pipe_file(
            f"/corpus/{name}", (tmp_path / "a.mp4").read_bytes() + (b"" if "c" not in name else b"\0")
        )
    system.pipe_file("/corpus/anger/d.mp4", b"no clip")
    system.pipe_file("/corpus/notes.txt", b"text")
    out = tmp_path / "manifest.csv"
    report = make_manifest("folder", clip_root("memory://corpus"), out)
    assert report.holds.utterances == 4 and report.holds.emotions == {"joy": 2, "anger": 2}
    manifest = read_manifest(out)
    assert [one.path for one in manifest] == ["anger/c.mp4", "anger/d.mp4", "joy/a.mp4", "joy/b.mp4"]
    system.pipe_file("/corpus/joy/extra.mp4", b"x")
    found = check(out, clip_root("memory://corpus"), CheckOptions())
    assert found.document.unusable == ("anger_d",) and found.exit_status == 3
    rules = {one.rule.code: one for one in found.findings}
    assert any("duplicate" in code or "same" in code for code in rules), rules
    assert list((tmp_path / "tmp").iterdir()) == []
    with pytest.raises(UsageError, match="`manifest emodb` reads a folder of this machine"):
        make_manifest("emodb", clip_root("memory://corpus"), out)
    system.rm("/corpus", recursive=True)


# A web server


@dataclass
class Site:
    """What the server gives, and what is wrong with it."""

    files: dict[str, bytes]
    url: str = ""
    cut: dict[str, int] = field(default_factory=dict)
    """How many answers for a file break off in the middle."""
    status: dict[str, int] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    states_no_length: bool = False
    """Whether answers without a body state the length of what they have."""
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(site: Site, *, user: str = "", query: str = "") -> Iterator[Site]:
    token = base64.b64encode(user.encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            path, _, asked = self.path.partition("?")
            name = path.removeprefix("/clips/")
            data = site.files.get(name)
            status = site.status.get(name, 200)
            if (user and self.headers.get("Authorization") != f"Basic {token}") or asked != query:
                status = 403
            if data is None or status != 200:
                self.send_error(404 if data is None else status)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(0 if site.states_no_length and not body else len(data)))
            self.send_header("ETag", f'"{hash(data)}"')
            self.end_headers()
            if not body:
                return
            site.asked.append(name)
            if site.cut.get(name, 0) > 0:
                site.cut[name] -= 1
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
                return
            for number in range(len(data)):
                if name in site.slow:
                    time.sleep(0.05)
                    self.wfile.flush()
                self.wfile.write(data[number : number + 1])

        def log_message(self, *how: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.url = f"http://{f'{user}@' if user else ''}127.0.0.1:{server.server_address[1]}/clips{f'?{query}' if query else ''}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def files(corpus: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in corpus.parent.glob("*.mp4")}


def test_clips_from_a_web_server_that_states_no_length(
    corpus: Path, files: dict[str, bytes], tmp_path: Path, reference: bytes
) -> None:
    """As a program of its owner's does, which answers HEAD with what it sends: nothing."""
    out = tmp_path / "cache.h5"
    with serving(Site(files, states_no_length=True)) as site:
        assert run(corpus, site.url, out).failed == [] and out.read_bytes() == reference
        asked = len(site.asked)
        assert run(corpus, site.url, out).made == 0 and len(site.asked) == asked


def test_clips_from_a_web_server(
    corpus: Path, files: dict[str, bytes], tmp_path: Path, reference: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """That wants a password and a signature, which are written down nowhere."""
    caplog.set_level(logging.DEBUG, logger="dualstream")
    out = tmp_path / "out" / "cache.h5"
    notices: list[str] = []
    with serving(Site(files), user="reader:hunter2-wordpass", query="sig=c2lnbmVk%2Bx&se=2030") as site:
        site.cut["clip3.mp4"] = 1  # the second try gets it
        report = run(corpus, site.url, out, notices=notices)
        assert out.read_bytes() == reference and report.failed == []
        asked = site.url
    with pytest.raises(
        DualstreamError, match=r"none of the 9 clips is under http://\*\*\*@127\.0\.0\.1:"
    ) as caught:
        run(corpus, asked, tmp_path / "other" / "cache.h5")
    written = b"".join((tmp_path / "out" / name).read_bytes() for name in listing(tmp_path / "out"))
    said = " ".join([*notices, str(report.to_json()), caplog.text, str(caught.value), repr(caught.value)])
    for secret in SECRETS:
        assert secret not in said and secret.encode() not in written


def test_clips_that_are_not_given_are_records_and_tried_again(
    corpus: Path, files: dict[str, bytes], tmp_path: Path, reference: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off, too slow, refused, gone; the next run gets all that is there by then."""
    monkeypatch.setattr(remote_root, "FETCH_S", 0.1)
    out = tmp_path / "out" / "cache.h5"
    gone = files.pop("clip8.mp4")
    with serving(Site(files), user="reader:hunter2-wordpass") as site:
        site.cut["clip1.mp4"] = 99
        site.slow.add("clip3.mp4")
        site.status["clip5.mp4"] = 503
        report = run(corpus, site.url, out)
        reasons = dict(report.failed)
        assert list(reasons) == ["u1", "u3", "u5", "u8"] and report.exit_status == 3
        assert reasons["u1"].startswith("unfetched: tried 3 times: ") and site.asked.count("clip1.mp4") == 3
        assert "TimeoutError: it was still coming after 0 s" in reasons["u3"]
        assert reasons["u5"].startswith("unfetched: ") and "503" in reasons["u5"]
        assert reasons["u8"].startswith("missing: there is no such file")
        assert not any(secret in str(reasons) for secret in SECRETS)
        again = run(corpus, site.url, out)  # nothing is better
        assert (again.made, again.failed) == (0, report.failed)
        site.cut.clear()
        site.slow.clear()
        site.status.clear()
        files["clip8.mp4"] = gone
        last = run(corpus, site.url, out)
        assert last.failed == [] and out.read_bytes() == reference


def test_a_store_that_does_not_answer_spoils_no_shard(
    corpus: Path, files: dict[str, bytes], tmp_path: Path, reference: bytes
) -> None:
    out = tmp_path / "out" / "cache.h5"
    with serving(Site(files)) as site:
        run(corpus, site.url, out)
        for some in (["clip2.mp4"], files):
            site.status.update(dict.fromkeys(some, 503))
            assert (again := run(corpus, site.url, out)).made == 0 and again.failed == []
    assert out.read_bytes() == reference


def test_a_server_that_goes_away_ends_the_run(corpus: Path, files: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out" / "cache.h5"
    with serving(Site(files)) as site:

        class Leaving(FakeReader):
            def __call__(self, *args: Any, **more: Any) -> Any:
                site.status.update(dict.fromkeys(files, 503))
                return super().__call__(*args, **more)

        with pytest.raises(ClipsGoneError, match=r"of the 3 clips of shard \d were under http://127"):
            run(corpus, site.url, out, reader=Leaving(), workers=1)
    assert not out.exists()


def test_names_with_signs(tmp_path: Path) -> None:
    names = {"a b/ü #1?.mp4": b"one", "100%.mp4": b"two"}
    import urllib.parse

    with serving(Site({urllib.parse.quote(name): data for name, data in names.items()}), query="sig=x") as site:
        root = RemoteRoot(site.url)
        for name, data in names.items():
            root.fetch(name, tmp_path / "file")
            assert (tmp_path / "file").read_bytes() == data


# Addresses


def test_a_store_is_listed_for_those_who_ask_for_clips(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is told its clips job by job asks for each: it lists no million of files for that."""
    listed: list[str] = []
    real = RemoteRoot._list
    monkeypatch.setattr(RemoteRoot, "_list", lambda self: listed.append(str(self)) or real(self))
    hasher = hasher_of(RemoteRoot(memory))
    assert hasher.stat("clip1.mp4")[0] == 6 and listed == []
    told = hasher_of(RemoteRoot(memory), ["clip1.mp4", "gone.mp4"])
    assert told.stat("clip1.mp4")[0] == 6 and len(listed) == 1
    assert told.stat("gone.mp4") == ABSENT
    for one in (hasher, told):
        one.close()


def test_a_manifest_lists_a_store_once_for_clips_and_once_for_what_is_left_out(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/clips/notes.txt", b"text")
    listed: list[str] = []
    real = RemoteRoot._list
    monkeypatch.setattr(RemoteRoot, "_list", lambda self: listed.append(str(self)) or real(self))
    report = make_manifest("folder", clip_root(memory), tmp_path / "m.csv")
    assert report.holds.utterances == CLIPS and [one.names for one in report.left_out] == [("notes.txt",)]
    assert len(listed) == 2


def test_what_is_an_address(tmp_path: Path) -> None:
    assert clip_root("clips") == Path("clips") and clip_root(tmp_path) == tmp_path
    assert clip_root("file:///data/a%20b") == Path("/data/a b")
    assert clip_root("FILE://localhost/data/a") == Path("/data/a")
    assert clip_root("file:///localhost/a") == Path("/localhost/a")
    assert isinstance(clip_root("memory://x"), RemoteRoot)
    with pytest.raises(
        UsageError, match=r"--root nosuch://bucket can't be opened: ValueError: Protocol not known"
    ):
        clip_root("nosuch://bucket")


def test_hosts_are_spelled_in_any_way() -> None:
    """Protocols in capitals, and an address of IPv6, in which `::` joins no chain."""
    for text, place in {
        "HTTP://Host/A": "http://Host/A/b%20c.mp4",
        "http://[::1]:8000/a": "http://[::1]:8000/a/b%20c.mp4",
        "https://user:a::b@[fe80::2]/a?sig=x": "https://user:a::b@[fe80::2]/a/b%20c.mp4?sig=x",
    }.items():
        root = clip_root(text)
        assert isinstance(root, RemoteRoot) and root._place("b c.mp4") == place and not root.lists


def test_the_command_line_keeps_an_address_and_shows_no_secret() -> None:
    url = "https://reader:hunter2@example.org/a//b?sig=c2lnbmVk//x"
    options = build(ExtractCommand, {**values_of(ExtractCommand), "manifest": Path("m.csv"), "root": url})
    assert isinstance(options.root, RemoteRoot) and options.root._url == url
    assert str(options.root) == "https://***@example.org/a//b?***"
    assert not any(secret in f"{options} {options!r}" for secret in SECRETS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cannot connect to http://a:b@h/x", "Cannot connect to http://***@h/x"),
        ("url='https://h/x?X-Amz-Signature=1&b=2', status", "url='https://h/x?***', status"),
        ("http://a:b@c@h/x and http://a:b/c@h/x", "http://***@h/x and http://***@h/x"),
        ("http://a:b?c@h/x, http://a:b#c@h/x", "http://***@h/x, http://***@h/x"),
        ("http://h:8080/a@b.mp4 is there", "http://h:8080/a@b.mp4 is there"),
        ("url='http://h/x?sig=a'b\"c)d', status", "url='http://h/x?***', status"),
        ("(http://h/x#token=1)", "(http://h/x#***)"),
        ("shard #3 of #4 (why? so)", "shard #3 of #4 (why? so)"),
        ("is it so? yes", "is it so? yes"),
        ("s3://bucket/key", "s3://bucket/key"),
    ],
)
def test_redacted(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    ("url", "shown", "secrets"),
    [
        ("https://me:pass@word@h/x", "https://***@h/x", {"pass@word", "word"}),
        ("s3://AKIAX:sec/ret9@bucket/x", "s3://***@bucket/x", {"sec/ret9", "ret9"}),
        ("https://me:hun?ter2@h:80/x", "https://***@h:80/x", {"hun?ter2", "ter2"}),
        ("https://me:hun#ter2@h/x?a=1", "https://***@h/x?***", {"ter2"}),
        ("https://h/x#token=abcd", "https://h/x#***", {"abcd"}),
        ("zip://in::https://me:word@h/a.zip?s=tok1", "zip://in::https://***@h/a.zip?***", {"word", "tok1"}),
        ("https://h/x?sig=a'b c\"tok1", "https://h/x?***", {"a'b c\"tok1"}),
        ("https://me:p%40ss@h/x", "https://***@h/x", {"p%40ss", "p@ss"}),
        ("https://me:word@[bad/x", "https://***@[bad/x", {"word"}),
        ("memory://clips", "memory://clips", set()),
    ],
)
def test_an_address_shows_no_secret_however_it_is_spelled(url: str, shown: str, secrets: set[str]) -> None:
    assert shown_address(url) == shown
    found = secrets_of(url)
    assert secrets <= found and (bool(found) == bool(secrets))
    assert (
        redacted(f"it said: {'; '.join(sorted(secrets))}", found)
        == f"it said: {'; '.join('***' for _ in secrets)}"
    )


def test_an_address_with_one_slash_is_no_folder() -> None:
    with pytest.raises(UsageError, match=r"--root http://\*\*\*@h/x is given with one slash"):
        clip_root("http:/reader:hunter2@h/x")


@pytest.mark.parametrize(
    "words",
    [
        ("extract", "m.csv", "--root", ".", "--out", "s3://AKIAX:hun/ter2@bucket/c.h5"),
        ("inspect", "https://me:hunter2@h/c.h5?sig=hunter2"),
    ],
)
def test_an_address_in_the_place_of_a_file_shows_no_secret(words: tuple[str, ...], tmp_path: Path) -> None:
    place = [sys.executable, str(Path(__file__).parents[3] / "cli.py"), words[0], "-vv", *words[1:]]
    done = subprocess.run(place, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode in (1, 2, 10) and "ter2" not in done.stdout + done.stderr, done.stderr


def test_other_texts_stay_as_they_are() -> None:
    text = "--speaker-from '(?P<speaker>.+)@x?y': a/b@c, C:/d@e?f and https://h/x@y.mp4"
    assert with_shown_addresses(text) == text
