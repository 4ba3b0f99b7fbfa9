"""What grows with a corpus while its manifest is made, read and checked: columns and hashes, no object for each clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus
from dualstream.pipeline.corpus.checks.rules.leakage import shared_stretches
from dualstream.pipeline.corpus.importers.folder import rows
from dualstream.pipeline.corpus.left_out import left_out
from dualstream.pipeline.corpus.manifest import Manifest, ManifestError, parse_manifest, read_manifest
from dualstream.pipeline.corpus.utterance import Utterance

from tests.traced import traced


def clips(count: int) -> list[str]:
    return [f"joy/d{number // 10:05d}_u{number % 10}.wav" for number in range(count)]


def test_a_manifest_is_read_in_parts(tmp_path: Path) -> None:
    """From a file its text is not held, however long it is: here most of it is a column that is blank."""
    lines = "".join(f'u{number},clips/{number}.wav,train,"{" " * 8_000}"\n' for number in range(1_300))
    (tmp_path / "m.csv").write_text("id,path,split,speaker\n" + lines)
    read_manifest(tmp_path / "m.csv")  # what is imported now isn't afterwards
    manifest, memory = traced(lambda: read_manifest(tmp_path / "m.csv"))
    assert len(manifest) == 1_300 and len(lines) > 10e6 and memory.peak < 5e6


@pytest.mark.parametrize("at", [0, 1 << 20, (1 << 20) - 1, (1 << 20) + 5])
def test_text_that_is_none_is_named_by_its_line_wherever_it_stands(at: int, tmp_path: Path) -> None:
    """Also where a character of several bytes lies over the end of a part, and where the fault is behind it."""
    head = b"id,path,split\n"
    line = b"u%07d,\xc3\xa9%07d.wav,train\n"
    rows = b"".join(line % (number, number) for number in range(60_000))
    place = head + rows
    cut = max(at, len(head))
    assert len(place) > (1 << 20) + 100
    (tmp_path / "m.csv").write_bytes(place[:cut] + b"\xff" + place[cut:])
    expected = place[:cut].count(b"\n") + 1
    with pytest.raises(ManifestError, match=f"found byte 0x(ff|c3) in line {expected};"):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(ManifestError, match=f"found byte 0x(ff|c3) in line {expected};"):
        parse_manifest((tmp_path / "m.csv").read_bytes())


def test_a_folder_of_many_clips_is_listed_in_little_memory(tmp_path: Path) -> None:
    """Most of it is the names of the files: no utterance is kept as an object."""

    class Folder:
        def listed(self) -> list[str]:
            return clips(5_000)

    folder: Any = Folder()
    rows(folder)
    found, memory = traced(lambda: rows(folder))
    assert len(found) == 5_000 and found[4_999].emotion == "joy" and found[4_999].id == "joy_d00499_u9"
    assert memory.peak < 400 * 5_000  # 250; 550 with objects, and with a list of folders for each
    left, memory = traced(lambda: left_out(folder, found))
    assert left == [] and memory.peak < 280 * 5_000  # 220; 350 where the utterances' paths are a set


def test_what_the_doctor_holds_of_clips_that_share_no_recording() -> None:
    names = [f"d{number // 10:05d}_u{number % 10}" for number in range(5_000)]
    manifest = Manifest([Utterance(name, f"clips/{name}.wav", "train") for name in names])
    corpus = CheckedCorpus(manifest)
    with manifest.columns.at_hand():
        found, memory = traced(lambda: list(shared_stretches(corpus)))
    assert found == [] and memory.peak < 100 * 5_000  # 260 with all stretches by recording
