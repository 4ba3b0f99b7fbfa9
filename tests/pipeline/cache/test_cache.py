"""cache.h5: what goes in comes out, any other byte is refused, and nothing outside the file is ever opened."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from dualstream.pipeline.cache import check, read_cache, write_cache
from dualstream.pipeline.errors import CorruptError, NoCacheError
from dualstream.pipeline.storage.sealed import HEADER_BYTES, seal

from tests.pipeline.caches import assert_same_cache, random_cache
from tests.pipeline.opened import opened_files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.h5"


def test_everything_comes_back(path: Path) -> None:
    cache = random_cache(40)
    write_cache(path, cache)
    assert_same_cache(read_cache(path), cache)


def test_large_arrays_span_chunks(path: Path) -> None:
    cache = random_cache(900, video_width=300)  # about 3 MB of windows: several chunks
    write_cache(path, cache)
    assert_same_cache(read_cache(path), cache)


def test_same_cache_same_bytes(tmp_path: Path) -> None:
    digests = [write_cache(tmp_path / name, random_cache(30)) for name in ("a.h5", "b.h5")]
    assert digests[0] == digests[1]
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert write_cache(tmp_path / "c.h5", random_cache(30, seed=1)) != digests[0]


def test_header_digest_is_sha256_of_the_rest(path: Path) -> None:
    digest = write_cache(path, random_cache())
    assert hashlib.sha256(path.read_bytes()[HEADER_BYTES:]).hexdigest() == digest


def test_plain_hdf5_reader_opens_it(path: Path) -> None:
    cache = random_cache(20)
    write_cache(path, cache)
    with h5py.File(path, "r") as file:
        assert file.attrs["format"] == b"dualstream-cache"
        assert file.attrs["version"] == 1
        np.testing.assert_array_equal(file["streams/video/windows"][:], cache.streams["video"].windows)
        assert file["utterances/id"].asstr()[3] == cache.utterances.id[3]
        assert file["streams/audio/present"].dtype == bool


def test_masks_and_nan_survive(path: Path) -> None:
    cache = random_cache(60, seed=3)
    write_cache(path, cache)
    back = read_cache(path).streams["video"]
    assert back.window_present is not None and back.time_s is not None and back.windows is not None
    assert (~back.window_present).any()
    assert np.isnan(back.time_s[~back.window_present]).all()
    assert not back.windows[~back.window_present].any()


def test_missing_cache_says_what_to_do(path: Path) -> None:
    with pytest.raises(NoCacheError, match="extract"):
        read_cache(path)
    with pytest.raises(NoCacheError, match="folder"):
        read_cache(path.parent)


def test_archived_version_1_still_reads() -> None:
    archived = Path(__file__).parent / "archived" / "cache_v1.h5"
    assert_same_cache(read_cache(archived), random_cache(12))


# A file that differs


def test_every_flipped_bit_is_refused(path: Path) -> None:
    write_cache(path, random_cache(5))
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    places = [(0, 0), (HEADER_BYTES - 1, 7), (len(good) - 1, 0)]
    places += [(int(rng.integers(len(good))), int(rng.integers(8))) for _ in range(150)]
    places += [(int(rng.integers(HEADER_BYTES)), int(rng.integers(8))) for _ in range(50)]
    for byte, bit in places:
        _refused(path, good[:byte] + bytes([good[byte] ^ (1 << bit)]) + good[byte + 1 :])


def test_every_truncation_and_growth_is_refused(path: Path) -> None:
    write_cache(path, random_cache(5))
    good = path.read_bytes()
    lengths = {0, 1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1, len(good) - 1}
    for length in sorted(lengths | set(np.random.default_rng(1).integers(0, len(good), 40).tolist())):
        _refused(path, good[:length])
    _refused(path, good + b"\0")


@pytest.mark.slow
def test_a_thousand_flips_and_a_hundred_truncations_are_refused(path: Path) -> None:
    write_cache(path, random_cache(60))
    good = path.read_bytes()
    rng = np.random.default_rng(2)
    for _ in range(1000):
        byte, bit = int(rng.integers(len(good))), int(rng.integers(8))
        _refused(path, good[:byte] + bytes([good[byte] ^ (1 << bit)]) + good[byte + 1 :])
    for length in rng.integers(0, len(good), 100).tolist():
        _refused(path, good[:length])


def test_other_files_are_refused(path: Path) -> None:
    for content in (b"", b"hello", b"\x89HDF\r\n\x1a\n" + bytes(2000), os.urandom(5000)):
        _refused(path, content)


def test_a_shard_is_no_cache(path: Path) -> None:
    from dualstream.pipeline.extraction.shards import pack_shard

    from tests.pipeline.caches import random_shard

    path.write_bytes(pack_shard(random_shard()))
    with pytest.raises(CorruptError, match=r"shard.*cache"):
        read_cache(path)


def _refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CorruptError):
        read_cache(path)


# A file from a stranger: sealed as it should be, so that only the whitelist stands between it and us


def resealed(path: Path, change: Callable[[h5py.File], None]) -> None:
    """Change a good cache through h5py, and seal it again as an attacker would."""
    write_cache(path, random_cache(30, video_width=300))
    with h5py.File(path, "r+") as file:
        change(file)
    image = bytearray(path.read_bytes())
    seal(image, "cache")
    path.write_bytes(image)


def _external_link(file: h5py.File) -> None:
    del file["streams/video/windows"]
    file["streams/video/windows"] = h5py.ExternalLink("secret.h5", "/x")


def _soft_link(file: h5py.File) -> None:
    del file["streams/video/windows"]
    file["streams/video/windows"] = h5py.SoftLink("/streams/audio/windows")


def _virtual(file: h5py.File) -> None:
    shape = file["streams/video/windows"].shape
    del file["streams/video/windows"]
    layout = h5py.VirtualLayout(shape, "<f4")
    layout[:] = h5py.VirtualSource("secret.h5", "x", shape=shape)
    file.create_virtual_dataset("streams/video/windows", layout)


def _virtual_unlimited(file: h5py.File) -> None:
    width = file["streams/video/windows"].shape[1]
    del file["streams/video/windows"]
    layout = h5py.VirtualLayout((10, width), "<f4", maxshape=(None, width))
    source = h5py.VirtualSource("secret.h5", "x", shape=(10, width), maxshape=(None, width))
    layout[: h5py.h5s.UNLIMITED, :] = source[: h5py.h5s.UNLIMITED, :]
    file.create_virtual_dataset("streams/video/windows", layout)


def _external_storage(file: h5py.File) -> None:
    shape = file["streams/video/windows"].shape
    del file["streams/video/windows"]
    file.create_dataset("streams/video/windows", shape, "<f4", external=[("secret.raw", 0, h5py.h5f.UNLIMITED)])


def _huge(file: h5py.File) -> None:
    del file["streams/video/windows"]
    file.create_dataset("streams/video/windows", (2_000_000_000, 100), "<f4", chunks=(1000, 100))


def _huge_scalar_text(file: h5py.File) -> None:
    del file["provenance"]
    file.create_dataset("provenance", (), h5py.string_dtype("utf-8", 1 << 30))


def _bomb(file: h5py.File) -> None:
    shape = file["streams/video/windows"].shape
    del file["streams/video/windows"]
    made = file.create_dataset("streams/video/windows", shape, "<f4", chunks=(50, shape[1]), compression="gzip")
    import zlib

    for first in range(0, shape[0], 50):
        made.id.write_direct_chunk((first, 0), zlib.compress(bytes(30_000_000), 9))


def _tiny_chunks(file: h5py.File) -> None:
    rows = file["windows/start_s"][:]
    del file["windows/start_s"]
    file.create_dataset("windows/start_s", data=np.tile(rows, 100), chunks=(1,))


def _growing(file: h5py.File) -> None:
    rows = file["streams/video/windows"][:]
    del file["streams/video/windows"]
    file.create_dataset("streams/video/windows", data=rows, maxshape=(None, rows.shape[1]))


def _variable_text(file: h5py.File) -> None:
    del file["provenance"]
    file.create_dataset("provenance", data="{}", dtype=h5py.string_dtype("utf-8"))


def _object_references(file: h5py.File) -> None:
    del file["utterances/turn"]
    file.create_dataset("utterances/turn", (30,), h5py.ref_dtype)


def _other_filter(file: h5py.File) -> None:
    rows = file["streams/video/windows"][:]
    del file["streams/video/windows"]
    file.create_dataset("streams/video/windows", data=rows, compression="lzf")


def _wrong_type(file: h5py.File) -> None:
    rows = file["streams/video/windows"][:]
    del file["streams/video/windows"]
    file.create_dataset("streams/video/windows", data=rows.astype("<f8"))


def _big_endian(file: h5py.File) -> None:
    rows = file["streams/video/windows"][:]
    del file["streams/video/windows"]
    file.create_dataset("streams/video/windows", data=rows.astype(">f4"))


def _wrong_rank(file: h5py.File) -> None:
    rows = file["streams/video/windows"][:]
    del file["streams/video/windows"]
    file.create_dataset("streams/video/windows", data=rows[..., None])


def _extra_dataset(file: h5py.File) -> None:
    file["streams/video/pickle"] = np.arange(3)


def _extra_group(file: h5py.File) -> None:
    file.create_group("hooks")


def _attribute(file: h5py.File) -> None:
    file["streams/video"].attrs["run"] = "me"


def _root_attribute(file: h5py.File) -> None:
    file.attrs["run"] = "me"


def _named_type(file: h5py.File) -> None:
    file["streams/video/time"] = np.dtype("<f4")


def _missing(file: h5py.File) -> None:
    del file["utterances/speaker"]


def _missing_in_stream(file: h5py.File) -> None:
    del file["streams/video/spec"]


def _loop(file: h5py.File) -> None:
    file["streams/loop"] = file["streams"]


def _newer(file: h5py.File) -> None:
    file.attrs.modify("version", np.int32(2))


def _odd_stream_name(file: h5py.File) -> None:
    file.move("streams/video", "streams/=cmd")


HOSTILE = [
    (_external_link, "link"),
    (_soft_link, "link"),
    (_virtual, "virtual"),
    (_virtual_unlimited, "virtual"),
    (_external_storage, "another file"),
    (_huge, "declares|chunks"),
    (_huge_scalar_text, "type"),
    (_bomb, "compressed chunk"),
    (_tiny_chunks, "chunks"),
    (_growing, "grow"),
    (_variable_text, "type"),
    (_object_references, "type"),
    (_other_filter, "filters"),
    (_wrong_type, "type"),
    (_big_endian, "type"),
    (_wrong_rank, "axes"),
    (_extra_dataset, "not part"),
    (_extra_group, "not part"),
    (_attribute, "attributes"),
    (_root_attribute, "attributes"),
    (_named_type, "not part"),
    (_missing, "missing"),
    (_missing_in_stream, "missing"),
    (_loop, "not part|another kind|missing"),
    (_newer, "version 2"),
    (_odd_stream_name, "not part"),
]


@pytest.mark.parametrize(("change", "says"), HOSTILE, ids=[change.__name__ for change, _ in HOSTILE])
def test_hostile_file_is_refused_and_opens_nothing(
    path: Path, change: Callable[[h5py.File], None], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with h5py.File("secret.h5", "w") as file:
        file["x"] = np.full((1000, 300), 42, "<f4")
    Path("secret.raw").write_bytes(bytes(2_000_000))
    resealed(path, change)
    with opened_files(path.parent) as opened, pytest.raises(CorruptError, match=says):
        read_cache(path)
    assert opened == {"cache.h5"}


def test_the_watch_would_see_a_followed_link(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with h5py.File("secret.h5", "w") as file:
        file["x"] = np.zeros(3)
    resealed(path, _external_link)
    with opened_files(path.parent) as opened, h5py.File(path, "r") as file:
        file["streams/video/windows"]
    assert "secret.h5" in opened


def test_compressed_caches_may_be_read(path: Path) -> None:
    def compress(file: h5py.File) -> None:
        rows = file["streams/video/windows"][:]
        del file["streams/video/windows"]
        file.create_dataset(
            "streams/video/windows", data=rows, chunks=(20, 300), shuffle=True, compression="gzip", fletcher32=True
        )

    resealed(path, compress)
    assert_same_cache(read_cache(path), random_cache(30, video_width=300))


# Rules beyond names and types


def test_rules_hold_for_a_good_cache() -> None:
    check(random_cache(30))


def _broken(name: str) -> object:
    cache = random_cache(30, seed=5)
    utterances, video = cache.utterances, cache.streams["video"]
    assert video.windows is not None and video.window_present is not None and video.time_s is not None
    absent = int(np.flatnonzero(~video.present)[0])
    hidden = int(np.flatnonzero(~video.window_present)[0])
    shown = int(np.flatnonzero(video.window_present)[0])
    row, windows, time_s = video.utterance.copy(), video.windows.copy(), video.time_s.copy()
    mask = video.window_present.copy()
    row[absent], windows[hidden], time_s[shown] = 1, 1, np.nan
    mask[int(cache.offsets[absent])] = True
    times = video.time_s.copy()
    times[int(cache.offsets[absent])] = 0.5
    back = cache.start_s.copy()
    back[int(cache.offsets[np.flatnonzero(np.diff(cache.offsets) > 1)[0]]) + 1] = 0
    streams = {
        "absent utterance": replace(video, utterance=row),
        "absent window": replace(video, windows=windows),
        "time_s": replace(video, time_s=time_s),
        "utterance that is absent": replace(video, window_present=mask, time_s=times),
        "together": replace(video, windows=None),
    }
    if name in streams:
        return replace(cache, streams={**cache.streams, "video": streams[name]})
    return {
        "id twice": lambda: replace(cache, utterances=replace(utterances, id=["a"] * 30)),
        "letters": lambda: replace(cache, utterances=replace(utterances, id=["=a b", *utterances.id[1:]])),
        "status": lambda: replace(cache, utterances=replace(utterances, status=["fine"] * 30)),
        "SHA-256": lambda: replace(cache, utterances=replace(utterances, sha256=["x"] * 30)),
        "code outside": lambda: replace(
            cache, utterances=replace(utterances, emotion=np.full(30, 3, dtype=np.int16))
        ),
        "offsets": lambda: replace(cache, offsets=cache.offsets[::-1].copy()),
        "does not rise": lambda: replace(cache, start_s=back),
        "no stream": lambda: replace(cache, streams={}),
        "rows": lambda: replace(cache, utterances=replace(utterances, turn=utterances.turn[:-1])),
        "name twice": lambda: replace(cache, vocabulary={**cache.vocabulary, "emotion": ["a", "a", "b"]}),
    }[name]()


@pytest.mark.parametrize(
    "says",
    [
        *("absent utterance", "absent window", "time_s", "utterance that is absent", "together", "id twice"),
        *("letters", "status", "SHA-256", "code outside", "offsets", "does not rise", "no stream", "rows"),
        "name twice",
    ],
)
def test_broken_rule_is_named(says: str, path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        write_cache(path, _broken(says))  # type: ignore[arg-type]
    assert not path.exists()


# Bytes that somebody changed and then sealed: past the digest, only HDF5 and the whitelist are left


def mutated(good: bytes, rng: np.random.Generator) -> bytearray:
    image = bytearray(good)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(HEADER_BYTES, len(image)))
        length = int(rng.integers(1, 9))
        image[place : place + length] = rng.bytes(len(image[place : place + length]))
    return image


def outcomes(path: Path, times: int) -> dict[int, int]:
    """Read mutants in forked children; count 0 (read), 1 (refused) and anything else."""
    write_cache(path, random_cache(8))
    good = path.read_bytes()
    rng = np.random.default_rng(times)
    counts: dict[int, int] = {}
    for _ in range(times):
        image = mutated(good, rng)
        seal(image, "cache")
        path.write_bytes(image)
        child = os.fork()
        if child == 0:
            status = 2
            signal.alarm(20)  # a reader that hangs is ended by this
            try:
                read_cache(path)
                status = 0
            except CorruptError:
                status = 1
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        counts[status] = counts.get(status, 0) + 1
    return counts


def test_mutants_that_were_sealed_neither_crash_nor_hang(path: Path) -> None:
    assert set(outcomes(path, 30)) <= {0, 1}


@pytest.mark.slow
def test_a_thousand_sealed_mutants_neither_crash_nor_hang(path: Path) -> None:
    counts = outcomes(path, 1000)
    assert set(counts) <= {0, 1}
    assert counts[1] > 500


@pytest.mark.slow
def test_two_thousand_mutants_are_refused(path: Path) -> None:
    write_cache(path, random_cache(8))
    good = path.read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(2000):
        image = mutated(good, rng)
        if image != good:
            _refused(path, bytes(image))


def test_the_example_in_the_docs_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[3] / "docs" / "cache_format.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    cache = random_cache(12)
    write_cache(path, cache)
    monkeypatch.chdir(path.parent)
    names: dict[str, object] = {}
    exec(code, names)
    windows = cache.streams["video"].windows
    assert windows is not None
    np.testing.assert_array_equal(names["video"], windows[cache.offsets[3] : cache.offsets[4]])  # type: ignore[arg-type]
    assert list(names["names"]) == cache.vocabulary["emotion"]  # type: ignore[call-overload]


def test_the_docs_name_every_dataset() -> None:
    from dualstream.pipeline.cache.file import SCHEMA

    text = (Path(__file__).parents[3] / "docs" / "cache_format.md").read_text(encoding="utf-8")
    for name in SCHEMA.fields:
        assert f"`{name.rpartition('/')[2]}`" in text or f"`/{name.replace('*', 'NAME')}`" in text, name
