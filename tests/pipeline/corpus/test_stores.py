"""Stores as people have them: an archive, a web server with TLS, FTP, S3. Those that need a server's package skip."""

from __future__ import annotations

import functools
import http.server
import os
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.corpus import remote_root
from dualstream.pipeline.corpus.clip_files import NoClipError
from dualstream.pipeline.corpus.remote_root import RemoteRoot, clip_root
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.extraction.request import ExtractReport, RunOptions

from tests.pipeline.stubs import STUBS, make_corpus, run_extract, stub_recipe

pytest.importorskip("fsspec")
REPOSITORY = Path(__file__).parents[3]
PEM = REPOSITORY / "tests" / "pipeline" / "storage" / "loopback.pem"


@pytest.fixture(autouse=True)
def scratch_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch below the test's folder, and do not wait long before trying again."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(remote_root, "PAUSE_S", 0.01)


def run(manifest: Path, url: str, out: Path) -> ExtractReport:
    """Extract a stub corpus from a store."""
    return extract(manifest, root=clip_root(url), out=out, options=STUBS, run=RunOptions(shard_size=3, workers=1),
                   build_recipe=stub_recipe)  # fmt: skip


def archived(corpus: Path, place: Path, **changed: bytes) -> str:
    """Put the clips into a zip file, some of them with other bytes; return the address of its folder."""
    with zipfile.ZipFile(place, "w") as file:
        for path in sorted(corpus.parent.glob("*.mp4")):
            file.writestr(f"set/{path.name}", changed.get(path.stem) or path.read_bytes())
    return f"zip://set::file://{place}"


def test_clips_from_an_archive(tmp_path: Path) -> None:
    corpus, out = make_corpus(tmp_path / "clips", 6), tmp_path / "out" / "cache.h5"
    run_extract(corpus, tmp_path / "folder" / "cache.h5")
    url = archived(corpus, tmp_path / "clips.zip")
    assert run(corpus, url, out).made == 6
    assert out.read_bytes() == (tmp_path / "folder" / "cache.h5").read_bytes()
    assert run(corpus, url, out).made == 0
    assert not list((tmp_path / "tmp").iterdir())


def test_another_clip_of_the_same_size_is_seen(tmp_path: Path) -> None:
    """An archive states no tag such as a web server's, but a checksum."""
    corpus, out = make_corpus(tmp_path / "clips", 6), tmp_path / "out" / "cache.h5"
    run(corpus, archived(corpus, tmp_path / "clips.zip"), out)
    data = bytes(255 - one for one in (corpus.parent / "clip4.mp4").read_bytes())
    assert run(corpus, archived(corpus, tmp_path / "clips.zip", clip4=data), out).made == 3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, {"Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}),
        ({"modify": "20240101000000"}, {"modify": "20240102000000"}),
        ({"CRC": 1}, {"CRC": 2}),
        ({"ETag": '"a"'}, {"ETag": '"b"'}),
    ],
    ids=["web", "ftp", "zip", "tag"],
)
def test_what_a_store_states_of_a_file_tells_its_versions(first: Any, second: Any) -> None:
    one, again, other = (remote_root._facts({"size": 9, "type": "file"} | more) for more in (first, first, second))
    assert one == again and one.version != other.version


def test_a_size_alone_is_believed_within_a_run_only(monkeypatch: pytest.MonkeyPatch) -> None:
    info = {"size": 9, "type": "file"}
    here = remote_root._facts(info)
    assert remote_root._facts(info) == here
    monkeypatch.setattr(remote_root, "UNTAGGED", "of another run")
    assert remote_root._facts(info).version != here.version


def test_a_folder_that_a_store_lacks_fails(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "clips", 2)
    archived(corpus, tmp_path / "clips.zip")
    with pytest.raises(UsageError, match=r"nothing at zip://sat::file://.*give the bucket and folder"):
        run(corpus, f"zip://sat::file://{tmp_path / 'clips.zip'}", tmp_path / "out" / "cache.h5")


@pytest.mark.parametrize(
    ("cause", "missing"),
    [(StopIteration(), True), (KeyError("none.mp4"), True), (ConnectionRefusedError(), False)],
)
def test_a_file_that_a_listing_lacks_is_missing(cause: BaseException, missing: bool) -> None:
    """As fsspec's FTP says so, by a search that ended; a server that is down is told the same way."""
    error = FileNotFoundError("/set/none.mp4")
    error.__cause__ = cause
    assert remote_root._is_missing(error) == missing


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Serve a folder with TLS, by a certificate that nobody knows unless told."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}/?token=hunter2"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_web_server_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    (tmp_path / "clip.wav").write_bytes(b"a clip")
    code = (
        "import sys, pathlib\n"
        "from dualstream.pipeline.corpus.remote_root import clip_root\n"
        "target = pathlib.Path(sys.argv[2])\n"
        "try:\n"
        "    clip_root(sys.argv[1]).fetch('clip.wav', target)\n"
        "except Exception as error:\n"
        "    sys.exit(str(error))"
    )
    with web_server(tmp_path) as url:
        for known in (False, True):
            words = [sys.executable, "-c", code, url, str(tmp_path / "fetched")]
            environment = {**os.environ, **({"SSL_CERT_FILE": str(PEM)} if known else {})}
            done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, env=environment)
            assert "hunter2" not in done.stderr
            assert (done.returncode == 0) == known, done.stderr
            assert known or "certificate verify failed" in done.stderr
    assert (tmp_path / "fetched").read_bytes() == b"a clip"


def test_clips_by_ftp(tmp_path: Path) -> None:
    authorizers = pytest.importorskip("pyftpdlib.authorizers", reason="needs pyftpdlib")
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    corpus, out = make_corpus(tmp_path / "clips", 3), tmp_path / "out" / "cache.h5"
    run_extract(corpus, tmp_path / "folder" / "cache.h5")
    users = authorizers.DummyAuthorizer()
    users.add_user("me", "hunter2", str(corpus.parent), perm="elr")
    server = ThreadedFTPServer(("127.0.0.1", 0), type("Handler", (FTPHandler,), {"authorizer": users}))
    address = f"127.0.0.1:{server.socket.getsockname()[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert run(corpus, f"ftp://me:hunter2@{address}/", out).made == 3
        root = clip_root(f"ftp://me:hunter2@{address}/")
        assert isinstance(root, RemoteRoot)
        with pytest.raises(NoClipError, match="missing"):
            root.file("none.mp4")
        with pytest.raises(UsageError, match=r"ftp://\*\*\*@.*530") as caught:
            clip_root(f"ftp://me:wordpass@{address}/")
        assert "wordpass" not in str(caught.value)
    finally:
        server.close_all()
    assert out.read_bytes() == (tmp_path / "folder" / "cache.h5").read_bytes()


def test_clips_from_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real client against moto's server: credentials of the environment, and what goes wrong with buckets."""
    pytest.importorskip("s3fs", reason="needs s3fs")
    moto = pytest.importorskip("moto.server", reason="needs moto[server]")
    session = pytest.importorskip("botocore.session")
    corpus, out = make_corpus(tmp_path / "clips", 6), tmp_path / "out" / "cache.h5"
    run_extract(corpus, tmp_path / "folder" / "cache.h5")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {"AWS_ACCESS_KEY_ID": "wordpass", "AWS_SECRET_ACCESS_KEY": "hunter2",
                            "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        client = session.Session().create_client("s3")
        client.create_bucket(Bucket="bucket")
        for path in corpus.parent.glob("*.mp4"):
            client.put_object(Bucket="bucket", Key=f"set/{path.name}", Body=path.read_bytes())
        assert run(corpus, "s3://bucket/set", out).made == 6
        assert out.read_bytes() == (tmp_path / "folder" / "cache.h5").read_bytes()
        assert run(corpus, "s3://bucket/set", out).made == 0
        with pytest.raises(UsageError, match="nothing at s3://backet/set"):
            run(corpus, "s3://backet/set", tmp_path / "no.h5")
        client.put_object(Bucket="bucket", Key="set/clip4.mp4", Body=b"another clip")
        client.delete_object(Bucket="bucket", Key="set/clip5.mp4")
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        report = run(corpus, "s3://bucket/set", out)
        assert report.made == 3 and [one.id for one in report.failed] == ["u5"]
    finally:
        server.stop()
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and "clips" not in path.parts]
    assert kept and not [path for path in kept if b"hunter2" in path.read_bytes()]
