"""Downloads from a server on the loopback address: whole, cut off, resumed, with a wrong digest, led astray."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from dualstream.features.published import PublishedFile
from dualstream.pipeline.storage.download import TRIES, AbsentError, DownloadError, Fetcher

from tests.pipeline.storage.loopback import DATA, SHA256, Site, fetcher, serve, serving


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as made:
        yield made


def file_at(site: Site, path: str = "/file", sha256: str = SHA256) -> PublishedFile:
    return PublishedFile("file.bin", site.url + path, len(DATA), sha256)


def test_a_whole_file(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "new" / "file.bin"
    made = fetcher(on_bytes=lambda count, total: seen.append((count, total)))
    assert made.fetch(file_at(site), target) == SHA256
    assert target.read_bytes() == DATA and [one.name for one in target.parent.iterdir()] == ["file.bin"]
    assert seen[0] == (0, len(DATA)) and seen[-1] == (len(DATA), len(DATA))
    assert site.asked == [("/file", None)]


def test_the_first_digits_of_a_digest_are_enough(site: Site, tmp_path: Path) -> None:
    assert fetcher().fetch(file_at(site, sha256=SHA256[:8]), tmp_path / "f") == SHA256


def test_a_connection_that_breaks_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    site.cut = [1000, 5000]
    assert fetcher().fetch(file_at(site), tmp_path / "f") == SHA256
    assert [one for _, one in site.asked] == [None, "bytes=1000-", "bytes=6000-"]


def test_a_server_without_ranges_begins_anew(site: Site, tmp_path: Path) -> None:
    site.cut, site.ranges = [1000], False
    assert fetcher().fetch(file_at(site), tmp_path / "f") == SHA256
    assert (tmp_path / "f").read_bytes() == DATA


def test_what_came_is_kept_for_the_next_run(site: Site, tmp_path: Path) -> None:
    site.cut = [700] * TRIES
    with pytest.raises(
        DownloadError, match=rf"broke off {TRIES} times.*3,500 bytes are kept: run the same command"
    ):
        fetcher().fetch(file_at(site), tmp_path / "f")
    assert not (tmp_path / "f").exists() and (tmp_path / "f.part").read_bytes() == DATA[:3500]
    site.asked.clear()
    assert fetcher().fetch(file_at(site), tmp_path / "f") == SHA256
    assert site.asked == [("/file", "bytes=3500-")]


def test_a_wrong_digest_is_not_kept(site: Site, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"as before")
    site.data = DATA[:-1] + b"x"
    with pytest.raises(
        DownloadError, match=rf"its digest is [0-9a-f]+, and {SHA256} is published; it is not kept"
    ):
        fetcher().fetch(file_at(site), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"as before" and not (tmp_path / "f.part").exists()
    assert len(site.asked) == 1  # no second try: nothing of it came from elsewhere


@pytest.mark.parametrize("left", [b"of another file", DATA + b"more", DATA])
def test_what_was_left_of_another_file_does_not_spoil_this_one(site: Site, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "f.part").write_bytes(left)
    assert fetcher().fetch(file_at(site), tmp_path / "f") == SHA256
    assert (tmp_path / "f").read_bytes() == DATA


def test_a_redirect_to_https_is_followed(site: Site, tmp_path: Path) -> None:
    site.redirects = {"/file": f"{site.url}/there"}
    assert fetcher().fetch(file_at(site), tmp_path / "f") == SHA256
    assert [path for path, _ in site.asked] == ["/file", "/there"]


def test_a_redirect_to_plain_http_is_refused(site: Site, tmp_path: Path) -> None:
    plain = Site()
    server = serve(plain, tls=False)
    try:
        site.redirects = {"/file": f"http://127.0.0.1:{server.server_port}/file"}
        with pytest.raises(DownloadError, match=r"leads to http://127\.0\.0\.1:\d+/file, which is not https"):
            fetcher().fetch(file_at(site), tmp_path / "f")
        with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:\d+/file, which is not https"):
            fetcher().fetch(
                PublishedFile("f", f"http://127.0.0.1:{server.server_port}/file", 1, SHA256), tmp_path / "f"
            )
    finally:
        server.shutdown()
        server.server_close()
    assert plain.asked == [] and not (tmp_path / "f").exists()


def test_redirects_without_end_fail(site: Site, tmp_path: Path) -> None:
    site.redirects = {"/file": f"{site.url}/there", "/there": f"{site.url}/file"}
    with pytest.raises(DownloadError):
        fetcher().fetch(file_at(site), tmp_path / "f")


def test_a_certificate_that_nobody_vouches_for_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="its certificate is not believed"):
        Fetcher(pause_s=0.0).fetch(file_at(site), tmp_path / "f")
    assert site.asked == []


def test_a_file_that_is_not_there(site: Site, tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match="the server answers 404"):
        fetcher().fetch(file_at(site, "/absent"), tmp_path / "f")
    assert len(site.asked) == 1


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"X-Linked-ETag": f'"{SHA256}"', "X-Repo-Commit": "c" * 40}, True),
        ({"X-Linked-ETag": f'"{"0" * 64}"', "X-Repo-Commit": "c" * 40}, False),
        ({"ETag": f'"{git_blob(DATA)}"', "X-Repo-Commit": "c" * 40}, True),
        ({"ETag": f'"{"0" * 40}"', "X-Repo-Commit": "c" * 40}, False),
        ({"ETag": f'"{git_blob(DATA)}"'}, False),  # of a server that does not say that it is git's
        ({}, False),
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
def test_the_digest_that_a_hub_states(
    site: Site, tmp_path: Path, headers: dict[str, str], good: bool, redirected: bool
) -> None:
    site.headers = headers
    if redirected:
        site.redirects = {"/file": "/there"}
    if good:
        assert fetcher().fetch(file_at(site, sha256=""), tmp_path / "f") == SHA256
        return
    with pytest.raises(DownloadError, match=r"stated by the server|the server states none"):
        fetcher().fetch(file_at(site, sha256=""), tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_a_disk_that_can_not_be_written_to_is_no_broken_connection(site: Site, tmp_path: Path) -> None:
    (tmp_path / "f.part").mkdir()
    with pytest.raises(OSError, match=r"(?i)is a directory"):
        fetcher().fetch(file_at(site), tmp_path / "f")
    assert len(site.asked) == 1
