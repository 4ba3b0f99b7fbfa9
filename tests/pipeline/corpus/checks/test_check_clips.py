"""The data doctor on clips: one made to show each fault, and one without any."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.media import write_clip
from dualstream.pipeline.commands.check import CheckOptions, Checkup, main
from dualstream.pipeline.corpus.checks.findings import Finding
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus, examine
from dualstream.pipeline.corpus.manifest import Manifest, Utterance, write_manifest
from dualstream.pipeline.errors import UsageError
from typer.testing import CliRunner

from dualstream.cli import app
from tests.pipeline.corpora import touch

Array = np.ndarray[Any, Any]

RATE_HZ = 16_000
FRAME_RATE = 25

TABLE = {"episode": "e", "table_start_s": "10", "table_end_s": "11.6"}


def tone(seconds: float, amplitude: float = 0.25, rate_hz: int = RATE_HZ, channels: int = 1) -> Array:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    mono = (amplitude * np.sin(2 * np.pi * 300 * t)).astype(np.float32)
    return np.repeat(mono[:, None], channels, axis=1) if channels > 1 else mono


def picture(seconds: float, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, (round(seconds * FRAME_RATE), 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of clips, each with one fault in its name; `elsewhere.wav` lies beside it."""
    root = tmp_path_factory.mktemp("corpus") / "root"
    root.mkdir()

    def write(
        name: str, frames: Array | None, audio: Array | None, rate_hz: int = RATE_HZ, delay_s: float = 0
    ) -> None:
        codec = "pcm_s16le" if name.endswith(".wav") else "aac"
        write_clip(root / name, frames, FRAME_RATE, audio, rate_hz, audio_delay_s=delay_s, audio_codec=codec)

    write("good.mp4", picture(1), tone(1))
    write("no-sound.mp4", picture(1, 1), None)
    write("no-picture.wav", None, tone(1, 0.3))
    write("silent.wav", None, np.zeros(RATE_HZ, np.float32))
    write("quiet.wav", None, tone(1, 0.0005))
    write("low.wav", None, tone(1, 0.01))
    write("clipped.wav", None, np.clip(tone(1, 4.0), -1, 1))
    write("inverted.wav", None, tone(1, channels=2) * np.array([1, -1], np.float32))
    write("short.wav", None, tone(0.1))
    write("long.wav", None, tone(31, rate_hz=8000), 8000)
    write("late.mp4", picture(2, 2), tone(1.2), delay_s=0.5)
    write("surround.mp4", picture(1, 3), tone(1, channels=6))
    write("table.wav", None, tone(1, 0.2))
    shutil.copy(root / "good.mp4", root / "copy.mp4")
    shutil.copy(root / "good.mp4", root / "test-copy.mp4")
    write_clip(root / "still.mp4", picture(0.04, 4), "1/2", tone(2), RATE_HZ)
    whole = (root / "late.mp4").read_bytes()
    (root / "cut-off.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "empty.mp4").write_bytes(b"")
    (root / "folder.mp4").mkdir()
    (root / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:1,\ngood.mp4\n")
    os.mkfifo(root / "fifo.mp4")
    shutil.copy(root / "table.wav", root.parent / "elsewhere.wav")
    (root / "link-out.wav").symlink_to("../elsewhere.wav")
    touch(root, ["extra.mp4", "deep/extra.wav", "._good.mp4", ".cache/x.mp4", "notes.txt"])
    return root


NAMES = [
    *("good.mp4", "no-sound.mp4", "no-picture.wav", "silent.wav", "quiet.wav", "low.wav", "clipped.wav"),
    *("inverted.wav", "short.wav", "long.wav", "late.mp4", "surround.mp4", "table.wav", "copy.mp4", "still.mp4"),
    *("cut-off.mp4", "empty.mp4", "folder.mp4", "playlist.mp4", "fifo.mp4", "link-out.wav", "gone.mp4"),
]


def manifest_of(corpus: Path) -> Path:
    extras = {"table.wav": TABLE}
    rows = [Utterance(name.split(".")[0], name, "train", extra=extras.get(name, {})) for name in NAMES]
    rows.append(Utterance("test-copy", "test-copy.mp4", "test", emotion="joy"))
    rows.append(Utterance("inside", "long.wav", "train", 1.0, 2.0))
    rows.append(Utterance("beyond", "long.wav", "train", 30.0, 40.0))
    place = corpus.parent / "manifest.csv"
    write_manifest(Manifest(tuple(rows)), place)
    return place


@pytest.fixture(scope="module")
def checkup(corpus: Path) -> Checkup:
    return main(manifest_of(corpus), corpus)


def cases(checkup: Checkup, code: str) -> dict[str, str]:
    found = [finding for finding in checkup.findings if finding.code == code]
    return {case.subject: case.detail for finding in found for case in finding.cases}


def test_a_good_clip_has_no_fault(checkup: Checkup) -> None:
    table_alone = ("speaker-unknown", "dialogue-unknown", "label-missing", "split-missing", "class-rare")
    about: list[Finding] = [f for f in checkup.findings if any(case.subject == "good" for case in f.cases)]
    assert {finding.code for finding in about} <= set(table_alone)


def test_files_that_can_not_be_used(checkup: Checkup) -> None:
    assert set(cases(checkup, "missing")) == {"gone"}
    assert set(cases(checkup, "escapes-root")) == {"link-out"}
    unreadable = cases(checkup, "unreadable")
    assert set(unreadable) == {"cut-off", "empty", "folder", "playlist", "fifo"}
    assert unreadable["cut-off"].startswith(("unreadable", "damaged"))
    assert unreadable["empty"].startswith("empty") and unreadable["fifo"].startswith("not_a_file")
    assert checkup.document["unusable"] == [
        *("cut-off", "empty", "folder", "playlist", "fifo", "link-out", "gone"),
    ]
    assert checkup.exit_status == 3


def test_streams(checkup: Checkup) -> None:
    assert set(cases(checkup, "no-sound")) == {"no-sound"}
    assert {"no-picture", "silent", "inside"} < set(cases(checkup, "no-picture"))
    assert "good" not in cases(checkup, "no-picture")
    assert set(cases(checkup, "still-picture")) == {"still"}
    assert cases(checkup, "multichannel") == {"surround": "6 channels, 5.1"}
    assert set(cases(checkup, "narrow-band")) == {"long", "inside", "beyond"}
    assert set(cases(checkup, "desynchronised")) == {"late"}
    words = cases(checkup, "desynchronised")["late"].split()
    assert words[0] == "sound" and words[3:5] == ["s", "later"]
    assert 0.43 <= float(words[2]) <= 0.51  # AAC begins with a block of 64 ms that no one hears


def test_loudness(checkup: Checkup) -> None:
    assert cases(checkup, "silent") == {"silent": "every sample is 0", "quiet": "peak -66 dB of full scale"}
    assert set(cases(checkup, "clipped")) == {"clipped"}


def test_channels_that_cancel(checkup: Checkup) -> None:
    assert set(cases(checkup, "odd-channels")) == {"inverted"}
    assert "cancel" in cases(checkup, "odd-channels")["inverted"]


def test_lengths(checkup: Checkup) -> None:
    assert cases(checkup, "too-short") == {"short": "0.100 s"}
    assert cases(checkup, "too-long") == {"long": "31.0 s"}
    assert cases(checkup, "length-disagrees") == {"table": "1.000 s, by the table 1.600 s"}
    assert cases(checkup, "span-beyond-end") == {"beyond": "to 40.000 s of 31.000 s"}


def test_the_same_bytes(checkup: Checkup) -> None:
    assert cases(checkup, "duplicate") == {"copy": "as good"}
    assert cases(checkup, "duplicate-across-splits") == {"test-copy": "as good, with other labels"}


def test_files_that_no_row_names(checkup: Checkup) -> None:
    assert set(cases(checkup, "extra-file")) == {"extra.mp4", "deep/extra.wav"}
    assert set(cases(checkup, "hidden-file")) == {"._good.mp4", ".cache/x.mp4"}


def test_without_sound_no_clip_is_decoded_and_any_number_of_workers_finds_the_same(corpus: Path) -> None:
    one, three = (main(manifest_of(corpus), corpus, CheckOptions(sound=False, workers=n)) for n in (1, 3))
    assert one.document == three.document
    assert not cases(one, "silent") and set(cases(one, "no-sound")) == {"no-sound"}
    assert one.document["looked_at"] == "table and headers of clips"


def test_command(corpus: Path, tmp_path: Path) -> None:
    rows = (Utterance("good", "good.mp4", "train"), Utterance("gone", "gone.mp4", "train"))
    write_manifest(Manifest(rows), tmp_path / "m.csv")
    words = ["check", str(tmp_path / "m.csv"), "--root", str(corpus)]
    run = CliRunner()
    shown = run.invoke(app, words)
    assert shown.exit_code == 3 and "missing" in shown.output
    assert json.loads(run.invoke(app, [*words, "--json"]).stdout)["unusable"] == ["gone"]
    assert run.invoke(app, [*words, "--strict"]).exit_code == 1
    assert run.invoke(app, [*words, "--ffmpeg", str(corpus / "none")]).exit_code == 2
    assert run.invoke(app, ["check", words[1], "--root", str(corpus / "nowhere")]).exit_code == 2
    write_manifest(Manifest(rows[:1]), tmp_path / "m.csv")
    assert run.invoke(app, words).exit_code == 0


def test_no_folder_and_no_workers_fail(corpus: Path) -> None:
    with pytest.raises(UsageError, match="is not a directory"):
        main(manifest_of(corpus), corpus / "good.mp4")
    with pytest.raises(UsageError, match="expected 1 or more"):
        CheckOptions(workers=0)


def test_names_can_not_move_the_cursor(tmp_path: Path) -> None:
    write_manifest(Manifest((Utterance("a", "a.mp4", "train"),)), tmp_path / "m.csv")
    root = touch(tmp_path / "root", ["evil\x1b[2J\n[red].mp4"])
    shown = CliRunner().invoke(app, ["check", str(tmp_path / "m.csv"), "--root", str(root)])
    assert "\x1b[2J" not in shown.output and "evil\\x1b[2J\\n[red].mp4" in shown.output


def test_melds_surplus_files_and_large_clips(tmp_path: Path) -> None:
    root = touch(
        tmp_path / "MELD.Raw",
        [
            "output_repeated_splits_test/final_videos_testdia1_utt2.mp4",
            "output_repeated_splits_test/dia108_utt2.mp4",
            "dev_splits_complete/dia66_utt10.mp4",
            "dev_splits_complete/dia66_utt11.mp4",
            "output_repeated_splits_test/._dia1_utt2.mp4",
        ],
    )
    (root / "train_splits").mkdir()
    (root / "train_splits" / "dia0_utt0.mp4").write_bytes(b"x" * 2_500_001)
    (root / "train_splits" / "dia0_utt1.mp4").write_bytes(b"x" * 2_500_000)
    rows = [
        Utterance("train_dia0_utt0", "train_splits/dia0_utt0.mp4", "train"),
        Utterance("train_dia0_utt1", "train_splits/dia0_utt1.mp4", "train"),
        Utterance("test_dia1_utt2", "output_repeated_splits_test/dia1_utt2.mp4", "test"),
    ]
    write_manifest(Manifest(tuple(rows)), tmp_path / "m.csv")
    checkup = main(tmp_path / "m.csv", root)
    assert cases(checkup, "meld-twin") == {
        "test_dia1_utt2": "output_repeated_splits_test/final_videos_testdia1_utt2.mp4"
    }
    assert set(cases(checkup, "meld-unlabelled-clip")) == {
        *("dev_splits_complete/dia66_utt10.mp4", "output_repeated_splits_test/dia108_utt2.mp4"),
    }
    assert set(cases(checkup, "extra-file")) == {"dev_splits_complete/dia66_utt11.mp4"}
    assert set(cases(checkup, "hidden-file")) == {"output_repeated_splits_test/._dia1_utt2.mp4"}
    assert cases(checkup, "meld-distorted") == {"train_dia0_utt0": "2.5 MB"}


@pytest.mark.realdata
@pytest.mark.skipif("DUALSTREAM_DATA" not in os.environ, reason="DUALSTREAM_DATA is not set")
def test_real_clips(tmp_path: Path) -> None:
    clips = Path(os.environ["DUALSTREAM_DATA"], "clips")
    names = ["no_audio_face.mp4", "noface_face.mov", "bbaf2n.mpg", "single_face.mp4"]
    rows = tuple(Utterance(name.split(".")[0], name, "train") for name in names)
    write_manifest(Manifest(rows), tmp_path / "m.csv")
    checkup = main(tmp_path / "m.csv", clips)
    assert set(cases(checkup, "no-sound")) == {"no_audio_face"}
    assert set(cases(checkup, "desynchronised")) == {"noface_face"}  # ffprobe: sound ends 2.4 s before the picture
    assert not checkup.document["unusable"] and len(cases(checkup, "extra-file")) == 12


# A film and its sound in two files


def write_halves(root: Path, *names: str) -> None:
    """Write films without sound (.mp4) and sounds (.wav)."""
    for number, name in enumerate(names):
        if name.endswith(".wav"):
            write_clip(root / name, None, FRAME_RATE, tone(1, 0.2 + number / 50), RATE_HZ, audio_codec="pcm_s16le")
        else:
            write_clip(root / name, picture(1, number), FRAME_RATE, None, RATE_HZ)


def check_rows(root: Path, *rows: Utterance) -> Checkup:
    write_manifest(Manifest(rows), root.parent / "pairs.csv")
    return main(root.parent / "pairs.csv", root)


def test_pairs_are_one_clip(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_halves(root, "a.mp4", "a.wav", "b.mp4", "b.wav", "extra.wav")
    write_clip(root / "own.mp4", picture(1, 9), FRAME_RATE, tone(1), RATE_HZ)
    checkup = check_rows(
        root,
        Utterance("a", "a.mp4", "train", sound="a.wav"),
        Utterance("own", "own.mp4", "train", sound="b.wav"),
        Utterance("gone", "b.mp4", "train", sound="gone.wav"),
    )
    assert not cases(checkup, "no-sound") and not cases(checkup, "no-picture") and not cases(checkup, "silent")
    assert cases(checkup, "two-sounds") == {"own": "heard is b.wav"}
    assert set(cases(checkup, "missing")) == {"gone"}
    assert cases(checkup, "missing")["gone"].startswith("missing: the sound gone.wav: there is no such file")
    assert set(cases(checkup, "extra-file")) == {"extra.wav"}
    assert checkup.exit_status == 3 and not cases(checkup, "pair-apart")


def test_a_sound_that_ends_long_before_the_film_is_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_halves(root, "a.wav")
    write_clip(root / "a.mp4", picture(2), FRAME_RATE, None, RATE_HZ)
    found = cases(check_rows(root, Utterance("a", "a.mp4", "train", sound="a.wav")), "desynchronised")
    assert found == {"a": "sound starts 0.00 s later and ends 1.00 s earlier than the picture"}


def test_pairs_that_are_two_rows_are_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_halves(root, "a.mp4", "a.wav", "b.mp4", "c.wav")
    write_clip(root / "d.mp4", picture(1, 9), FRAME_RATE, tone(1), RATE_HZ)
    write_halves(root, "d.wav")
    rows = [
        Utterance(name, file, split)
        for name, file, split in (
            *(("a-film", "a.mp4", "train"), ("a-sound", "a.wav", "test"), ("b", "b.mp4", "train")),
            *(("c", "c.wav", "train"), ("d-film", "d.mp4", "train"), ("d-sound", "d.wav", "train")),
        )
    ]
    checkup = check_rows(root, *rows)
    assert cases(checkup, "pair-apart") == {"a-film": "a.wav is a-sound of test"}  # d.mp4 has its sound
    (found,) = [finding for finding in checkup.findings if finding.code == "pair-apart"]
    assert found.note == "1 of them in two splits"


def test_rows_of_two_splits_that_share_a_sound_are_named() -> None:
    rows = (
        Utterance("front", "front/a.mp4", "train", sound="a.wav"),
        Utterance("left", "left/a.mp4", "test", sound="a.wav"),
        Utterance("other", "left/b.mp4", "test", sound="b.wav"),
    )
    found = {finding.rule.code: finding for finding in examine(CheckedCorpus(Manifest(rows)))}
    assert [case.subject for case in found["span-across-splits"].cases] == ["left"]
