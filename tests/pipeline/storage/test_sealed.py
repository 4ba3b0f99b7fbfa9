"""Sealed files: the bytes that were sealed, or an error."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest
from dualstream.pipeline.errors import CorruptError, DualstreamError
from dualstream.pipeline.storage.sealed import (
    HEADER_BYTES,
    digest_in,
    is_sealed,
    peek_digest,
    publish,
    read_sealed,
    read_twice,
    seal,
    set_aside,
)


def sealed(body: bytes, kind: str = "toy") -> bytearray:
    image = bytearray(HEADER_BYTES) + bytearray(body)
    seal(image, kind)
    return image


@pytest.fixture
def place(tmp_path):
    publish(tmp_path / "a.h5", sealed(b"what was sealed"))
    return tmp_path / "a.h5"


def test_the_header_is_as_it_is_written_down(place):
    digest = hashlib.sha256(b"what was sealed").hexdigest()
    head = place.read_bytes()[:HEADER_BYTES]
    assert (
        head.rstrip(b"\0").decode()
        == f"dualstream sealed file\nkind toy\nbytes {HEADER_BYTES + 15}\nsha256 {digest}\n"
    )
    assert digest_in(head) == peek_digest(place, "toy") == digest
    assert bytes(read_sealed(place, "toy")) == place.read_bytes()


@pytest.mark.parametrize("at", [0, 30, 60, HEADER_BYTES, HEADER_BYTES + 14])
def test_a_flipped_bit_is_seen(place, at):
    data = bytearray(place.read_bytes())
    data[at] ^= 1
    place.write_bytes(data)
    with pytest.raises(CorruptError):
        read_sealed(place, "toy")


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[:100], lambda data: b""]
)
def test_another_length_is_seen(place, change):
    place.write_bytes(change(place.read_bytes()))
    with pytest.raises(CorruptError):
        read_sealed(place, "toy")
    with pytest.raises(CorruptError):
        peek_digest(place, "toy")


def test_damage_says_what_to_do(place):
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    with pytest.raises(CorruptError, match=r"a\.h5 is damaged: SHA-256 .* was sealed.*copy the file again"):
        read_sealed(place, "toy")
    assert is_sealed(place, "toy")  # it begins as one does


def test_kinds_are_kept_apart(place):
    with pytest.raises(CorruptError):
        read_sealed(place, "cache")
    assert (
        is_sealed(place, "toy") and not is_sealed(place, "cache") and not is_sealed(place.parent / "none", "toy")
    )


def test_a_folder_and_a_pipe_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)  # so that opening it does not wait
    try:
        with pytest.raises(CorruptError, match="not a regular file"):
            read_sealed(tmp_path / "pipe", "toy")
    finally:
        os.close(writer)
    with pytest.raises(FileNotFoundError):
        read_sealed(tmp_path / "none", "toy")


def test_a_header_that_is_none():
    with pytest.raises(ValueError, match="no header"):
        digest_in(bytes(HEADER_BYTES))


def test_publishing_leaves_one_file(tmp_path):
    publish(tmp_path / "a", b"old")
    publish(tmp_path / "a", b"new", durable=False)
    assert (tmp_path / "a").read_bytes() == b"new" and os.listdir(tmp_path) == ["a"]


def test_a_disk_that_refuses_leaves_the_old_file(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DualstreamError, match="folder"):
        publish(tmp_path / "folder", b"x")
    with pytest.raises(DualstreamError):
        publish(tmp_path / "none" / "a", b"x")
    assert os.listdir(tmp_path) == ["folder"]


def test_damage_is_believed_the_second_time():
    answers = [CorruptError("first"), "whole"]

    def read():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert read_twice(read) == "whole"
    answers[:] = [CorruptError("first"), CorruptError("second")]
    with pytest.raises(CorruptError, match="second"):
        read_twice(read)
    answers[:] = [OSError("gone"), "whole"]
    with pytest.raises(OSError, match="gone"):  # no damage: not asked again
        read_twice(read)


def test_what_is_damaged_is_set_aside_and_never_removed(tmp_path):
    names = []
    for text in ("one", "two", "three"):
        (tmp_path / "a.h5").write_text(text)
        names.append(set_aside(tmp_path / "a.h5").name)
    assert names == ["a.h5.damaged", "a.h5.damaged-2", "a.h5.damaged-3"]
    assert [(tmp_path / name).read_text() for name in names] == ["one", "two", "three"]
    assert not (tmp_path / "a.h5").exists()


def test_an_image_of_many_blocks(tmp_path):
    body = np.random.default_rng(0).integers(0, 256, 20 << 20, dtype=np.uint8).tobytes()
    publish(tmp_path / "a", sealed(body))
    assert bytes(read_sealed(tmp_path / "a", "toy")[HEADER_BYTES:]) == body
