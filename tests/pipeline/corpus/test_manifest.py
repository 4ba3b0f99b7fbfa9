"""Reading, checking and writing manifests; and where a path leads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from dualstream.pipeline.corpus.clip_files import EscapingPathError, resolve
from dualstream.pipeline.corpus.manifest import (
    InvalidRowError,
    Manifest,
    ManifestError,
    Utterance,
    manifest_text,
    parse_manifest,
    read_manifest,
    write_manifest,
)
from hypothesis import given
from hypothesis import strategies as st

SMALL = b"""id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment,episode
a_1,x/a.mp4,train,,,d0,0,Ann,joy,positive,s01e02
a_2,long.mkv,test,0.5,2,d1,3,"Bo, Jr.",,,
"""


def test_read_gives_values_in_the_files_order() -> None:
    manifest = parse_manifest(SMALL)
    first, second = manifest
    assert first == Utterance(
        "a_1", "x/a.mp4", "train", None, None, "d0", 0, "Ann", "joy", "positive", {"episode": "s01e02"}
    )
    assert (second.start_s, second.end_s, second.turn, second.speaker) == (0.5, 2.0, 3, "Bo, Jr.")
    assert (second.emotion, second.extra) == ("", {})
    assert manifest.emotions == ("joy",) and manifest.sentiments == ("positive",)


def test_digest_covers_the_ten_columns_alone() -> None:
    expected = (
        "id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment\n"
        "a_1,x/a.mp4,train,,,d0,0,Ann,joy,positive\n"
        'a_2,long.mkv,test,0.5,2,d1,3,"Bo, Jr.",,\n'
    )
    assert parse_manifest(SMALL).sha256 == hashlib.sha256(expected.encode()).hexdigest()
    assert parse_manifest(SMALL.replace(b"s01e02", b"s09e09")).sha256 == parse_manifest(SMALL).sha256
    assert parse_manifest(SMALL.replace(b"joy", b"fear")).sha256 != parse_manifest(SMALL).sha256
    assert parse_manifest(SMALL.replace(b"0.5,2,", b"0.50,2.0,")).sha256 == parse_manifest(SMALL).sha256


def test_a_sound_of_its_own_is_a_column_that_counts() -> None:
    raw = b"sound,id,path,split,episode\naudio/a.wav,a,a.mp4,train,e1\n,b,b.mp4,train,\n"
    manifest = parse_manifest(raw)
    assert [u.sound for u in manifest] == ["audio/a.wav", ""]
    assert [u.files for u in manifest] == [("a.mp4", "audio/a.wav"), ("b.mp4",)]
    contract = (
        "id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment,sound\n"
        "a,a.mp4,train,,,,,,,,audio/a.wav\n"
        "b,b.mp4,train,,,,,,,,\n"
    )
    assert manifest.sha256 == hashlib.sha256(contract.encode()).hexdigest()
    text = manifest_text(manifest)
    assert text.splitlines()[:2] == [contract.splitlines()[0] + ",episode", "a,a.mp4,train,,,,,,,,audio/a.wav,e1"]
    assert parse_manifest(text.encode()) == manifest


def test_a_blank_sound_changes_nothing() -> None:
    plain = b"id,path,split\na,a.mp4,train\n"
    blank = parse_manifest(b"id,path,split,sound\na,a.mp4,train, \n")
    assert manifest_text(blank) == manifest_text(parse_manifest(plain)) and "sound" not in manifest_text(blank)
    assert blank.sha256 == parse_manifest(plain).sha256
    assert Utterance("a", "a.mp4", "train", sound="a.mp4").files == ("a.mp4",)  # the clip itself


@pytest.mark.parametrize("sound", ["/abs.wav", "../up.wav", "folder/"])
def test_a_sound_that_leaves_the_root_fails(sound: str) -> None:
    with pytest.raises(ManifestError, match=r"row 1 .*, column sound: found"):
        parse_manifest(f"id,path,split,sound\na,a.mp4,train,{sound}\n".encode())


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw.replace(b"\n", b"\r\n"),
        lambda raw: b"\xef\xbb\xbf" + raw,
        lambda raw: raw.replace(b"\n", b"\r"),
        lambda raw: raw.replace(b"\n", b"\n\n"),
        lambda raw: raw.rstrip(b"\n"),
        lambda raw: raw.replace(b"a_1,", b'"a_1",').replace(b",joy,", b", joy ,"),
    ],
    ids=["crlf", "bom", "cr", "blank lines", "no last line end", "quotes and spaces"],
)
def test_tolerant_of_how_it_was_saved(damage) -> None:  # type: ignore[no-untyped-def]
    assert manifest_text(parse_manifest(damage(SMALL))) == SMALL.decode()


def test_columns_may_stand_in_any_order_and_be_left_out() -> None:
    manifest = parse_manifest(b"split,path,id\ndev,b.wav,b\n")
    assert list(manifest) == [Utterance("b", "b.wav", "dev")]


ODD_PATHS = [
    "-dash.mp4",
    "a:b%20c.mp4",
    "http:/x.mp4",
    "line\nbreak.mp4",
    "car\rriage.mp4",
    "both\r\n.mp4",
    'quo"te, comma.mp4',
    "😀/été.mp4",
    " lead and trail ",
    "=1+1.mp4",
    "x" * 255,
    "back\\slash.mp4",
    "..hidden/..mp4",
]


@pytest.mark.parametrize("path", ODD_PATHS)
def test_odd_paths_are_ordinary(path: str, tmp_path: Path) -> None:
    manifest = Manifest((Utterance("a", path, "train"), Utterance("b", "plain", "dev")))
    write_manifest(manifest, tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv") == manifest
    place = resolve(tmp_path, path)
    assert place == tmp_path.resolve() / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"x")  # such a file can exist


names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), max_size=20).map(str.strip)
spans = st.tuples(st.floats(0, 1e6), st.floats(1e-3, 1e4)).map(lambda t: (t[0], t[0] + t[1]))


@given(
    path=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40),
    span=st.one_of(st.just((None, None)), spans),
    name=names,
    turn=st.one_of(st.none(), st.integers(0, 2**31 - 1)),
)
def test_what_is_written_reads_back(path: str, span: tuple[float, float], name: str, turn: int | None) -> None:
    try:
        utterance = Utterance("i", path, "test", *span, "d" + name, turn, name, name, name, {"extra": "v"})
    except InvalidRowError:
        return
    manifest = Manifest((utterance,))
    assert parse_manifest(manifest_text(manifest).encode()) == manifest


def test_all_faults_are_named_by_row_and_column() -> None:
    raw = b"""id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment
a b,/abs.mp4,val,x,1,,1,,,
ok,../up.mp4,train,,,d,-1,,,

ok,a.mp4,train,3,2,d,1.5,,,
late,a.mp4,train,,2,,,,,
cut,a.mp4
nan,x/,train,nan,1,,,,,
big,.,train,1_0,20,d,2147483648,,,
"""
    with pytest.raises(ManifestError) as caught:
        parse_manifest(raw)
    places = [problem.split(": ")[0] for problem in caught.value.problems]
    assert places == [
        "row 1 (line 2), column start_s",
        "row 1 (line 2), column id",
        "row 1 (line 2), column path",
        "row 1 (line 2), column split",
        "row 1 (line 2), column turn",
        "row 2 (line 3), column turn",
        "row 2 (line 3), column path",
        "row 3 (line 5), column turn",
        "row 3 (line 5), column end_s",
        "row 4 (line 6), column start_s",
        "row 5 (line 7)",
        "row 6 (line 8), column path",
        "row 6 (line 8), column start_s",
        "row 7 (line 9), column start_s",
        "row 7 (line 9), column path",
        "row 7 (line 9), column turn",
    ]
    text = str(caught.value)
    assert "found 'val'; expected train, dev, test (say dev)" in text
    assert "found 2; expected more than start_s, which is 3" in text


def test_ids_are_unique_over_all_splits() -> None:
    with pytest.raises(ManifestError, match=r"row 3 \(line 4\), column id: 'dia0_utt0' appears in row 1 already"):
        parse_manifest(b"id,path,split\ndia0_utt0,a,train\nb,b,train\ndia0_utt0,c,dev\n")
    with pytest.raises(ManifestError, match="not unique"):
        Manifest((Utterance("a", "a", "train"), Utterance("a", "b", "dev")))


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    with pytest.raises(ManifestError, match=r"row 2 \(line 4\), column split"):
        parse_manifest(b'id,path,split\na,"two\nlines",train\nb,b,no\n')


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the file is empty"),
        (b"id,path,split\n", "no row is below the header; expected one per utterance"),
        (b"id,split\na,train\n", "column path is missing"),
        (b"id;path;split\na;b;train\n", "expected commas"),
        (b"id,path,split,id\na,b,train,a\n", "column 'id' appears twice"),
        (b"id,path,split,\na,b,train,\n", "a column has no name"),
        (b"id,path,split\na,caf\xe9.mp4,train\n", "byte 0xe9 in line 2"),
        ("id,path,split\na,b,train\n".encode("utf-16"), "UTF-16"),
        (b'id,path,split\na,"b,train\n', "line 2 is not CSV"),
        (b"id,path,split\na,b\0c,train\n", "zero byte"),
    ],
)
def test_what_is_no_manifest_fails(raw: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(raw)
    with pytest.raises(ManifestError, match=words) as caught:
        read_manifest(tmp_path / "m.csv")
    assert str(tmp_path / "m.csv") in str(caught.value)


def test_no_file_fails(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no manifest at"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(ManifestError, match="Is a directory; expected a CSV file"):
        read_manifest(tmp_path)


def test_a_long_list_of_faults_is_cut_for_people_only() -> None:
    with pytest.raises(ManifestError, match="and 950 more") as caught:
        parse_manifest(b"id,path,split\n" + b"".join(b"%d,p,none\n" % i for i in range(1000)))
    assert len(caught.value.problems) == 1000


def test_a_failed_write_leaves_the_old_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "m.csv"
    target.write_text("old")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_manifest(parse_manifest(SMALL), target)
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_resolve_follows_links_inside_the_root(tmp_path: Path) -> None:
    (tmp_path / "root" / "real").mkdir(parents=True)
    (tmp_path / "root" / "real" / "a.mp4").write_bytes(b"")
    (tmp_path / "root" / "link").symlink_to("real")
    (tmp_path / "alias").symlink_to("root")
    assert resolve(tmp_path / "alias", "link/a.mp4") == (tmp_path / "root" / "real" / "a.mp4").resolve()


@pytest.mark.parametrize("path", ["out/a.mp4", "out.mp4", "../rootling/a.mp4", "/etc/passwd", "real/../../x"])
def test_resolve_fails_outside_the_root(path: str, tmp_path: Path) -> None:
    (tmp_path / "root" / "real").mkdir(parents=True)
    (tmp_path / "rootling").mkdir()
    (tmp_path / "root" / "out").symlink_to(tmp_path)
    (tmp_path / "root" / "out.mp4").symlink_to("/etc/hostname")
    with pytest.raises(EscapingPathError, match="outside the data root"):
        resolve(tmp_path / "root", path)


def test_a_plain_table_of_files_is_a_manifest() -> None:
    """As audformat and many a notebook keep a corpus: ids are the files' names, all rows train."""
    found = parse_manifest(b"file,speaker,emotion\nclips/a b.wav,s1,joy\nclips/c.d.wav,s2,\n")
    rows = [(u.id, u.path, u.split, u.speaker, u.emotion) for u in found]
    assert rows == [("a_b", "clips/a b.wav", "train", "s1", "joy"), ("c.d", "clips/c.d.wav", "train", "s2", "")]
    twins = parse_manifest(b"emotion,filename,split\njoy,x/a.wav,dev\njoy,y/a.wav,test\n")
    assert [(u.id, u.split) for u in twins] == [("x_a", "dev"), ("y_a", "test")]
    with pytest.raises(ManifestError, match=r"row 1 \(line 2\): has 1 cells"):
        parse_manifest(b"file,emotion\na.wav\n")
    with pytest.raises(ManifestError, match="column path is missing"):
        parse_manifest(b"id,file,split\na,a.wav,train\n")
