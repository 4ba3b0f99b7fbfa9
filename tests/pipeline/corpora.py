"""Small trees laid out as the corpora are, with labels worked out by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

MELD_HEADER = (
    *("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID"),
    *("Utterance_ID", "Season", "Episode", "StartTime", "EndTime"),
)
MELD_ROWS = {
    "train": [
        (1, "He’s lost it…", "Richard’s Date", "surprise", "negative", 0, 0, 4, 7, "00:20:57,256", "00:21:00,049"),
        (2, "-What?", "Monica", "neutral", "neutral", 0, 1, 4, 7, "0:21:01,927", "0:21:03,26"),
        (5, "Café, “tiptop”!", "Joey", "joy", "positive", 2, 0, 10, 12, "01:00:00,000", "01:00:00,500"),
    ],
    "dev": [(1, "what…  ?", "Monica", "sadness", "negative", 0, 0, 1, 1, "00:00:01,000", "00:00:02,000")],
    "test": [
        (1, "-what?", "Monica", "anger", "negative", 0, 0, 1, 2, "00:00:01,000", "00:00:02,000"),
        (2, "-What?", "Ross", "fear", "negative", 0, 1, 1, 2, "00:00:02,000", "00:00:02,000"),
    ],
}  # fmt: skip
MELD_MANIFEST = """\
id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment,episode,table_start_s,table_end_s,line
train_dia0_utt0,train_splits/dia0_utt0.mp4,train,,,train_dia0,0,Richard’s Date,surprise,negative,s04e07,1257.256,1260.049,
train_dia0_utt1,train_splits/dia0_utt1.mp4,train,,,train_dia0,1,Monica,neutral,neutral,s04e07,1261.927,1263.26,1
train_dia2_utt0,train_splits/dia2_utt0.mp4,train,,,train_dia2,0,Joey,joy,positive,s10e12,3600,3600.5,
dev_dia0_utt0,dev_splits_complete/dia0_utt0.mp4,dev,,,dev_dia0,0,Monica,sadness,negative,s01e01,1,2,
test_dia0_utt0,output_repeated_splits_test/dia0_utt0.mp4,test,,,test_dia0,0,Monica,anger,negative,s01e02,1,2,1
test_dia0_utt1,output_repeated_splits_test/dia0_utt1.mp4,test,,,test_dia0,1,Ross,fear,negative,s01e02,2,2,
"""  # noqa: E501


def meld_table(split: str) -> bytes:
    """Return one of MELD's tables as they are published: UTF-8, CRLF, times quoted."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(MELD_HEADER)
    writer.writerows(MELD_ROWS[split])
    return text.getvalue().encode()


def as_lf(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n")


def as_bom(raw: bytes) -> bytes:
    return b"\xef\xbb\xbf" + raw


def as_cp1252(raw: bytes) -> bytes:
    """Saved by a program that knows cp1252 alone."""
    return raw.decode().encode("cp1252")


def as_mojibake(raw: bytes) -> bytes:
    """UTF-8 taken for cp1252 and saved as UTF-8 again: ’ becomes â€™."""
    text = "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in raw)
    return text.encode()


def as_controls(raw: bytes) -> bytes:
    """cp1252 taken for latin-1: ’ becomes U+0092."""
    return raw.decode().encode("cp1252").decode("latin-1").encode()


def as_replaced(raw: bytes) -> bytes:
    """cp1252 read as UTF-8 with replacement characters: ’ becomes U+FFFD."""
    return raw.decode().encode("cp1252").decode("utf-8", "replace").encode()


def as_mixed(raw: bytes) -> bytes:
    """Every other line in cp1252, the rest in UTF-8."""
    lines = raw.split(b"\n")
    return b"\n".join(as_cp1252(line) if i % 2 else line for i, line in enumerate(lines))


DAMAGES = [as_lf, as_bom, as_cp1252, as_mojibake, as_controls, as_replaced, as_mixed]


def touch(root: Path, paths: Iterable[str]) -> Path:
    """Make empty files."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root
