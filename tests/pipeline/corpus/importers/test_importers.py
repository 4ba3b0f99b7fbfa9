"""Importers: each on a small tree laid out as its corpus is; MELD's tables damaged in every known way."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from dualstream.pipeline.corpus.importers import importer, names, passed_over, summary
from dualstream.pipeline.corpus.manifest import Manifest, ManifestError, manifest_text
from dualstream.pipeline.errors import CorruptError, UsageError

from tests.pipeline.corpora import DAMAGES, MELD_MANIFEST, MELD_ROWS, meld_table, touch

REPOSITORY = Path(__file__).parents[4]
realdata = pytest.mark.skipif("DUALSTREAM_DATA" not in os.environ, reason="DUALSTREAM_DATA is not set")


def real(folder: str) -> Path:
    return Path(os.environ["DUALSTREAM_DATA"], folder)


def text_of(name: str, root: Path) -> str:
    return manifest_text(Manifest(tuple(importer(name)(root))))


def labels_of(name: str, root: Path) -> dict[str, tuple[str, str, str]]:
    return {u.id: (u.path, u.speaker, u.emotion) for u in importer(name)(root)}


def test_importers_are_found_by_the_names_of_their_files() -> None:
    assert names() == ("cremad", "emodb", "folder", "iemocap", "meld", "mosei", "ravdess", "tess")
    assert all(summary(name) for name in names())


def test_an_unknown_importer_fails_with_the_known() -> None:
    with pytest.raises(UsageError, match="there are cremad, emodb, folder"):
        importer("imagenet")


@pytest.mark.parametrize("name", names())
def test_every_importer_says_so_where_its_corpus_is_not(name: str, tmp_path: Path) -> None:
    touch(tmp_path, ["readme.txt"])
    with pytest.raises(ManifestError, match="expected"):
        importer(name)(tmp_path)


# MELD


def write_meld(root: Path, damage: Callable[[bytes], bytes] = bytes, folders: bool = False) -> Path:
    for split in MELD_ROWS:
        place = root / split if folders else root
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{split}_sent_emo.csv").write_bytes(damage(meld_table(split)))
    return root


@pytest.mark.parametrize("damage", [bytes, *DAMAGES])
def test_meld_makes_the_same_bytes_of_every_copy(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    assert text_of("meld", write_meld(tmp_path, damage)) == MELD_MANIFEST


def test_meld_finds_clips_unpacked_into_folders_of_their_own(tmp_path: Path) -> None:
    root = write_meld(tmp_path, folders=True)
    touch(root, ["train/train_splits/dia0_utt0.mp4", "test/output_repeated_splits_test/dia0_utt0.mp4"])
    paths = [u.path for u in importer("meld")(root)]
    assert paths[0] == "train/train_splits/dia0_utt0.mp4"
    assert paths[3] == "dev_splits_complete/dia0_utt0.mp4"
    assert paths[4] == "test/output_repeated_splits_test/dia0_utt0.mp4"


def test_meld_takes_the_same_table_twice_and_fails_on_two(tmp_path: Path) -> None:
    root = write_meld(tmp_path)
    write_meld(root / "copy")
    assert text_of("meld", root) == MELD_MANIFEST
    (root / "copy" / "dev_sent_emo.csv").write_bytes(meld_table("test"))
    with pytest.raises(ManifestError, match="several places"):
        importer("meld")(root)


def test_meld_names_every_fault_of_its_tables(tmp_path: Path) -> None:
    root = write_meld(tmp_path)
    dev = meld_table("dev").replace(b"00:00:02,000", b"soon").replace(b"Monica,sadness", b"Mo\tnica,sadness")
    (root / "dev_sent_emo.csv").write_bytes(dev)
    (root / "test_sent_emo.csv").write_bytes(meld_table("test").replace(b"Speaker", b"Who"))
    with pytest.raises(ManifestError) as caught:
        importer("meld")(root)
    assert "dev_sent_emo.csv, row 1, column EndTime: found 'soon'" in str(caught.value)
    assert "test_sent_emo.csv: found no column Speaker" in str(caught.value)
    (root / "test_sent_emo.csv").unlink()
    with pytest.raises(ManifestError, match=r"found no test_sent_emo\.csv"):
        importer("meld")(root)


@pytest.mark.realdata
@realdata
@pytest.mark.parametrize("damage", [bytes, *DAMAGES])
def test_meld_makes_data_manifest_csv(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    for split in MELD_ROWS:
        raw = (real("meld") / f"{split}_sent_emo.csv").read_bytes()
        (tmp_path / f"{split}_sent_emo.csv").write_bytes(damage(raw))
    assert text_of("meld", tmp_path).encode() == (REPOSITORY / "data_manifest.csv").read_bytes()


@pytest.mark.realdata
@realdata
def test_data_manifest_holds_no_words_that_were_spoken() -> None:
    manifest = (REPOSITORY / "data_manifest.csv").read_text("utf-8")
    assert "lost it" in (real("meld") / "dev_sent_emo.csv").read_text("utf-8")
    assert "lost it" not in manifest and "mugs" not in manifest


def test_data_manifest_is_melds() -> None:
    rows = (REPOSITORY / "data_manifest.csv").read_text("utf-8").splitlines()[1:]
    splits = Counter(row.split(",")[2] for row in rows)
    assert splits == {"train": 9989, "dev": 1109, "test": 2610}
    test_neutral = sum(",neutral,neutral," in row for row in rows if row.startswith("test_"))
    assert test_neutral == 1256


# RAVDESS, EMO-DB, CREMA-D, TESS: named files


def test_ravdess(tmp_path: Path) -> None:
    touch(
        tmp_path,
        [
            "Actor_01/03-01-05-02-01-01-01.wav",
            "Actor_01/copy/03-01-05-02-01-01-01.wav",
            "Actor_02/03-02-08-01-02-01-02.wav",
            "Video/Actor_02/01-02-08-01-02-01-02.mp4",
            "Video/Actor_02/02-02-08-01-02-01-02.mp4",
            "Actor_03/03-01-02-01-01-02-03.flac",
            "Actor_03/._03-01-02-01-01-02-03.flac",
            "Actor_03/03-01-09-01-01-02-03.wav",
            "notes.txt",
        ],
    )
    assert labels_of("ravdess", tmp_path) == {
        "03-01-05-02-01-01-01": ("Actor_01/03-01-05-02-01-01-01.wav", "01", "anger"),
        "01-02-08-01-02-01-02": ("Video/Actor_02/01-02-08-01-02-01-02.mp4", "02", "surprise"),
        "03-01-02-01-01-02-03": ("Actor_03/03-01-02-01-01-02-03.flac", "03", "calm"),
    }


def test_emodb(tmp_path: Path) -> None:
    codes = {"W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "joy", "T": "sadness", "N": "neutral"}
    touch(tmp_path, [f"wav/03a01{code}a.wav" for code in codes] + ["wav/16b10Fb.wav", "wav/03a01Xa.wav"])
    found = labels_of("emodb", tmp_path)
    assert found.pop("16b10Fb") == ("wav/16b10Fb.wav", "16", "joy")
    assert found == {f"03a01{c}a": (f"wav/03a01{c}a.wav", "03", emotion) for c, emotion in codes.items()}


def test_cremad_prefers_the_film(tmp_path: Path) -> None:
    touch(
        tmp_path,
        [
            "AudioWAV/1001_DFA_ANG_XX.wav",
            "AudioMP3/1001_DFA_ANG_XX.mp3",
            "VideoFlash/1001_DFA_ANG_XX.flv",
            "AudioWAV/1076_MTI_SAD_HI.wav",
            "AudioMP3/1076_MTI_SAD_HI.mp3",
            "AudioWAV/1040_ITH_SAD_X.wav",
        ],
    )
    found = labels_of("cremad", tmp_path)
    assert found["1001_DFA_ANG_XX"] == ("VideoFlash/1001_DFA_ANG_XX.flv", "1001", "anger")
    assert found["1076_MTI_SAD_HI"][1:] == ("1076", "sadness")
    assert found["1040_ITH_SAD_X"] == ("AudioWAV/1040_ITH_SAD_X.wav", "1040", "sadness")
    assert len(found) == 3


def test_tess(tmp_path: Path) -> None:
    files = [
        "OAF_Fear/OAF_back_fear.wav",
        "YAF_pleasant_surprised/YAF_youth_ps.wav",
        "OAF_neutral/OA_bite_neutral.wav",
    ]
    touch(tmp_path, [*files, *(f"TESS again/{path}" for path in files)])
    assert labels_of("tess", tmp_path) == {
        "OAF_back_fear": (files[0], "OAF", "fear"),
        "YAF_youth_ps": (files[1], "YAF", "surprise"),
        "OA_bite_neutral": (files[2], "OAF", "neutral"),
    }


# IEMOCAP

EVALUATION = (
    "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
    "C-E2:\tNeutral;\t()\n\n"
    "[14.8872 - 18.0175]\tSes01F_impro01_M001\texc\t[2.5000, 2.5000, 2.5000]\n\n"
    "[10.0100 - 11.3925]\tSes01F_impro01_F001\txxx\t[2.5000, 2.5000, 2.5000]\n\n"
    "[27.4600 - 31.4900]\tSes01F_impro01_MX00\toth\t[2.0000, 3.5000, 3.0000]\n"
)


def test_iemocap(tmp_path: Path) -> None:
    place = tmp_path / "Session1" / "dialog" / "EmoEvaluation"
    place.mkdir(parents=True)
    (place / "Ses01F_impro01.txt").write_text(EVALUATION)
    (place / "._Ses01F_impro01.txt").write_text("x")
    (place / "Categorical").mkdir()
    (place / "Categorical" / "Ses01F_impro01_e1_cat.txt").write_text("x")
    rows = importer("iemocap")(tmp_path)
    assert [(u.id, u.turn, u.speaker, u.emotion) for u in rows] == [
        ("Ses01F_impro01_F000", 0, "Ses01F", "neutral"),
        ("Ses01F_impro01_F001", 1, "Ses01F", ""),
        ("Ses01F_impro01_M001", 2, "Ses01M", "excitement"),
        ("Ses01F_impro01_MX00", 3, "Ses01M", "other"),
    ]
    assert rows[0].path == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert rows[0].start_s is None and {u.dialogue for u in rows} == {"Ses01F_impro01"}
    touch(tmp_path, ["Session1/dialog/avi/DivX/Ses01F_impro01.avi"])
    rows = importer("iemocap")(tmp_path)
    assert (rows[1].path, rows[1].start_s, rows[1].end_s) == (
        *("Session1/dialog/avi/DivX/Ses01F_impro01.avi", 10.01, 11.3925),
    )


# CMU-MOSEI


def write_mosei(root: Path) -> Path:
    with h5py.File(root / "CMU_MOSEI_Labels.csd", "w") as file:
        data = file.create_group("All Labels/data")
        one = data.create_group("-a_Video1")
        one["intervals"] = np.array([[20.0, 25.5], [-0.4, 3.0], [30.0, 31.0]])
        one["features"] = np.array(
            [
                [1.3, 0.6, 0, 0, 0, 0, 0],  # joy, positive
                [-0.3, 0, 1, 2, 0, 0, 0.5],  # anger, negative
                [0, 0, 0.5, 0, 0.5, 0, 0],  # a tie, neutral sentiment
            ]
        )
        two = data.create_group("zVideo2")
        two["intervals"] = np.array([[1.0, 2.0]])
        two["features"] = np.zeros((1, 7))
        file["All Labels/metadata/description"] = "text is passed over"
    return root


def test_mosei(tmp_path: Path) -> None:
    rows = importer("mosei")(write_mosei(tmp_path))
    assert [(u.id, u.split, u.start_s, u.end_s, u.turn, u.emotion, u.sentiment) for u in rows] == [
        ("-a_Video1_0", "train", 0.0, 3.0, 0, "anger", "negative"),
        ("-a_Video1_1", "train", 20.0, 25.5, 1, "joy", "positive"),
        ("-a_Video1_2", "train", 30.0, 31.0, 2, "", "neutral"),
        ("zVideo2_0", "train", 1.0, 2.0, 0, "neutral", "neutral"),
    ]
    assert rows[0].path == "Raw/Videos/Full/Combined/-a_Video1.mp4"


def test_mosei_takes_its_splits_from_the_sdks_lists_without_running_them(tmp_path: Path) -> None:
    write_mosei(tmp_path)
    touch(tmp_path, ["V/-a_Video1.mp4", "A/-a_Video1.wav", "V/Segmented/-a_Video1_0.mp4"])
    lists = (
        "import sys; sys.exit('was run')\nstandard_train_fold=['x']\nstandard_valid_fold=['y']\n"
        "standard_test_fold=['-a_Video1']\n"
    )
    (tmp_path / "cmu_mosei_std_folds.py").write_text(lists)
    rows = importer("mosei")(tmp_path)
    assert {(u.split, u.path) for u in rows} == {("test", "V/-a_Video1.mp4")} and len(rows) == 3
    (tmp_path / "cmu_mosei_std_folds.py").write_text("standard_train_fold = []\n")
    with pytest.raises(ManifestError, match="standard_test_fold"):
        importer("mosei")(tmp_path)


def test_mosei_names_videos_of_another_shape(tmp_path: Path) -> None:
    write_mosei(tmp_path)
    with h5py.File(tmp_path / "CMU_MOSEI_Labels.csd", "a") as file:
        del file["All Labels/data/zVideo2/features"]
        file["All Labels/data/zVideo2/features"] = np.zeros((1, 6))
        file["All Labels/data/backwards/features"] = np.zeros((1, 7))
        file["All Labels/data/backwards/intervals"] = np.array([[2.0, 1.0]])
    with pytest.raises(ManifestError, match=r"(?s)backwards: found an interval.*zVideo2: .*expected \(n, 2\) and"):
        importer("mosei")(tmp_path)


def soft(file: h5py.File, elsewhere: Path) -> None:
    file["All Labels/data/x"] = h5py.SoftLink("/All Labels/data/zVideo2")


def external(file: h5py.File, elsewhere: Path) -> None:
    file["All Labels/data/x"] = h5py.ExternalLink(str(elsewhere), "/All Labels/data/zVideo2")


def virtual(file: h5py.File, elsewhere: Path) -> None:
    layout = h5py.VirtualLayout((1, 7), "f8")
    layout[:] = h5py.VirtualSource(str(elsewhere), "/All Labels/data/zVideo2/features", (1, 7))
    file.create_virtual_dataset("All Labels/data/x/features", layout)


def raw(file: h5py.File, elsewhere: Path) -> None:
    shape = (1, 7)
    file.create_dataset("All Labels/data/x/features", shape, "f8", external=[(str(elsewhere), 0, 56)])


def huge(file: h5py.File, elsewhere: Path) -> None:
    file.create_dataset("All Labels/data/x/features", (1 << 33, 7), "f8", chunks=(1 << 10, 7))


@pytest.mark.parametrize("attack", [soft, external, virtual, raw, huge])
def test_mosei_opens_nothing_but_plain_arrays(attack: Callable[[h5py.File, Path], None], tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "root").mkdir()
    elsewhere = write_mosei(tmp_path / "else") / "CMU_MOSEI_Labels.csd"
    write_mosei(tmp_path / "root")
    with h5py.File(tmp_path / "root" / "CMU_MOSEI_Labels.csd", "a") as file:
        attack(file, elsewhere)
    with pytest.raises(CorruptError):
        importer("mosei")(tmp_path / "root")


def test_mosei_fails_on_what_is_no_hdf5(tmp_path: Path) -> None:
    (tmp_path / "CMU_MOSEI_Labels.csd").write_bytes(b"no HDF5 at all")
    with pytest.raises(CorruptError, match="can't be read as HDF5"):
        importer("mosei")(tmp_path)


# folder


def test_folder_with_classes(tmp_path: Path) -> None:
    touch(tmp_path, ["Happy/a.mp4", "Happy/deep/b.mp4", "sad/a.wav", "loose.mov", "sad/notes.txt", ".git/x.mp4"])
    assert [(u.id, u.path, u.split, u.emotion, u.sentiment) for u in importer("folder")(tmp_path)] == [
        ("Happy_a", "Happy/a.mp4", "train", "joy", ""),
        ("Happy_deep_b", "Happy/deep/b.mp4", "train", "joy", ""),
        ("loose", "loose.mov", "train", "", ""),
        ("sad_a", "sad/a.wav", "train", "sadness", ""),
    ]


def test_folder_with_splits_and_sentiments(tmp_path: Path) -> None:
    touch(tmp_path, ["train/positive/a.mp4", "Val/negative/a.mp4", "test/neutral/a.mp4", "test/b.mp4"])
    assert {u.path: (u.split, u.emotion, u.sentiment) for u in importer("folder")(tmp_path)} == {
        "train/positive/a.mp4": ("train", "", "positive"),
        "Val/negative/a.mp4": ("dev", "", "negative"),
        "test/neutral/a.mp4": ("test", "", "neutral"),
        "test/b.mp4": ("test", "", ""),
    }


def test_folder_names_odd_files_uniquely(tmp_path: Path) -> None:
    odd = [
        "joy/😀.mp4",
        "joy/a b.mp4",
        "joy/a_b.mp4",
        "joy_a/b.mp4",
        "joy/" + "x" * 250 + ".mp4",
        "joy/a.mp4",
        "joy/a.mkv",
    ]
    touch(tmp_path, odd)
    ids = {u.path: u.id for u in importer("folder")(tmp_path)}
    assert len(set(ids.values())) == len(odd) and max(map(len, ids.values())) <= 200
    touch(tmp_path, ["joy/new.mp4", "joy/c d.mp4"])
    again = {u.path: u.id for u in importer("folder")(tmp_path)}
    assert ids.items() <= again.items()


def test_folder_pairs_films_with_sounds(tmp_path: Path) -> None:
    touch(tmp_path, ["joy/a.mp4", "joy/a.wav", "joy/a.mp3", "joy/b.wav", "anger/a.v2.AVI", "anger/A.V2.flac"])
    rows = importer("folder")(tmp_path)
    assert [(u.id, u.files, u.emotion) for u in rows] == [
        ("anger_a.v2", ("anger/a.v2.AVI", "anger/A.V2.flac"), "anger"),
        ("joy_a", ("joy/a.mp4", "joy/a.wav"), "joy"),
        ("joy_b", ("joy/b.wav",), "joy"),
    ]
    assert left_out_of("folder", tmp_path) == {"sound": ("joy/a.mp3",)}


def test_folder_takes_no_label_from_a_word_for_picture_or_sound(tmp_path: Path) -> None:
    touch(tmp_path, ["test/video/joy/a.mp4", "test/audio/joy/a.m4a", "train/audio/sad/b.m4a"])
    assert [(u.files, u.split, u.emotion) for u in importer("folder")(tmp_path)] == [
        (("test/video/joy/a.mp4", "test/audio/joy/a.m4a"), "test", "joy"),
        (("train/audio/sad/b.m4a",), "train", "sadness"),
    ]


# What is left out


def left_out_of(name: str, root: Path) -> dict[str, tuple[str, ...]]:
    return {one.reason: one.names for one in passed_over(name, root, importer(name)(root))}


NAMED = {  # a recording that is taken, and one that is not named as the corpus names them
    "ravdess": ("03-01-05-02-01-01-01", "03-01-05-02-01-01-02 (1)"),
    "emodb": ("03a01Fa", "03a01Fa_cut"),
    "cremad": ("1001_DFA_ANG_XX", "1001_DFA_ANG"),
    "tess": ("OAF_back_fear", "Copy of OAF_back_fear"),
}


@pytest.mark.parametrize("name", NAMED)
def test_importers_by_name_count_what_they_leave_out(name: str, tmp_path: Path) -> None:
    good, odd = NAMED[name]
    touch(tmp_path, [f"a/{good}.wav", f"b/{good}.flac", f"a/{odd}.wav", f"a/._{good}.wav", "a/read.me", "b/x.csv"])
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    assert left_out_of(name, tmp_path) == {
        "name": (f"a/{odd}.wav",),
        "copy": (f"b/{good}.flac",),
        "hidden": (f"a/._{good}.wav",),
        "folder": ("linked",),
        "suffix": ("a/read.me", "b/x.csv"),
    }
    (found,) = [one for one in passed_over(name, tmp_path, importer(name)(tmp_path)) if one.reason == "name"]
    assert "(such as " in found.what and good[:2] in found.what


def test_ravdess_counts_other_forms_of_what_it_takes(tmp_path: Path) -> None:
    rest = "01-05-02-01-01-01"
    touch(tmp_path, [f"01-{rest}.mp4", f"02-{rest}.mp4", f"03-{rest}.wav"])
    assert left_out_of("ravdess", tmp_path) == {"copy": (f"02-{rest}.mp4", f"03-{rest}.wav")}


def test_meld_counts_clips_that_no_row_names(tmp_path: Path) -> None:
    root = write_meld(tmp_path)
    clips = ["train_splits/dia0_utt0.mp4", "train_splits/dia999_utt0.mp4", "train_splits/final_videos_x.mp4"]
    touch(root, clips)
    assert left_out_of("meld", root) == {"row": tuple(clips[1:])}


def test_iemocap_counts_lines_that_it_can_not_read(tmp_path: Path) -> None:
    place = tmp_path / "Session1" / "dialog" / "EmoEvaluation"
    place.mkdir(parents=True)
    odd = "[5,1 - 6,2]\tSes01F_impro01_F009\tneu\t[2.5, 2.5, 2.5]\n"
    (place / "Ses01F_impro01.txt").write_text(EVALUATION + odd)
    wavs = "Session1/sentences/wav/Ses01F_impro01"
    touch(tmp_path, [f"{wavs}/Ses01F_impro01_F000.wav", f"{wavs}/Ses01F_impro01_F077.wav"])
    number = EVALUATION.count("\n") + 1
    assert left_out_of("iemocap", tmp_path) == {
        "row": (f"{wavs}/Ses01F_impro01_F077.wav",),
        "line": (f"Session1/dialog/EmoEvaluation/Ses01F_impro01.txt, line {number}",),
    }


def test_mosei_counts_videos_in_no_split(tmp_path: Path) -> None:
    write_mosei(tmp_path)
    touch(tmp_path, ["V/-a_Video1.mp4", "V/zVideo2.mp4"])
    lists = "standard_train_fold=['x']\nstandard_valid_fold=['y']\nstandard_test_fold=['-a_Video1']\n"
    (tmp_path / "cmu_mosei_std_folds.py").write_text(lists)
    assert left_out_of("mosei", tmp_path) == {"split": ("zVideo2",), "row": ("V/zVideo2.mp4",)}


def test_a_folder_that_can_not_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, ["joy/a.wav", "shut/b.wav"])
    listed = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert left_out_of("folder", tmp_path) == {"folder": ("shut",)}


@pytest.mark.parametrize(
    "suffix", ["ts", "TS", "mka", "ogv", "vob", "mpe", "m2v", "3g2", "w64", "mp2", "spx", "f4v", "qt", "snd"]
)
def test_clips_of_every_format_that_is_read_are_known(suffix: str, tmp_path: Path) -> None:
    touch(tmp_path, [f"joy/a.{suffix}"])
    assert [u.path for u in importer("folder")(tmp_path)] == [f"joy/a.{suffix}"]


def test_a_folder_without_clips_says_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, ["joy/a.xyz", "joy/b.xyz", "c"])
    with pytest.raises(ManifestError, match=r"\(there are 2 \.xyz, 1 without suffix: none of these is known"):
        importer("folder")(tmp_path)


@pytest.mark.realdata
@realdata
def test_real_corpora_have_their_known_counts() -> None:
    emodb = Counter(u.emotion for u in importer("emodb")(real("emodb")))
    assert emodb == {
        "anger": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "joy": 71,
        "sadness": 62,
        "neutral": 79,
    }
    ravdess = importer("ravdess")(real("ravdess"))
    assert len(ravdess) == 960 and Counter(u.speaker for u in ravdess) == {f"{n:02}": 60 for n in range(1, 17)}
    assert Counter(u.emotion for u in ravdess)["neutral"] == 64
