"""MELD: its three annotation tables, beside the unpacked MELD.Raw or alone.

Poria et al., "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations", ACL 2019,
https://github.com/declare-lab/MELD. The words that were spoken are not taken over.

Beyond the contract's ten columns come four for `check`: ``episode``, ``table_start_s`` and ``table_end_s``
(where the table says that the clip was cut from that episode), and ``line``, a number shared by rows in
which the same speaker says the same words.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dualstream.pipeline.corpus.labels import canonical_emotion
from dualstream.pipeline.corpus.manifest import ManifestError
from dualstream.pipeline.corpus.utterance import InvalidRowError, Utterance, number_text
from dualstream.pipeline.storage.tree import files_below

CLIP_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
NEEDED = (
    *("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID"),
    *("Utterance_ID", "Season", "Episode", "StartTime", "EndTime"),
)
READS = re.compile(r"(?:.*/)?(?:train|dev|test)_sent_emo\.csv")

# Three ends have two digits after the comma, such as 00:05:11,82. They are a fraction whose last zero was lost,
# not 82 ms: so they fall on the grid of 24000/1001 frames a second on which their episodes' other times lie.
_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})")


def rows(root: Path) -> Sequence[Utterance]:
    """Return MELD's utterances: train, dev, test, each in the order of its table.

    `root` holds ``train_sent_emo.csv``, ``dev_sent_emo.csv`` and ``test_sent_emo.csv`` somewhere below it. The
    paths are MELD.Raw's, ``train_splits/dia0_utt0.mp4``, below the folder in which `root` holds them, if any.

    Raises
    ------
    ManifestError
        Where a table is missing, appears twice with different contents, or holds what can't be read.
    """
    files = files_below(root)
    problems: list[str] = []
    utterances: list[Utterance] = []
    lines: list[tuple[str, str]] = []
    for split in CLIP_FOLDERS:
        table = _find_table(root, files, f"{split}_sent_emo.csv")
        folder = _find_folder(files, CLIP_FOLDERS[split])
        for number, record in enumerate(_records(root / table, problems), start=1):
            try:
                utterances.append(_utterance(split, folder, record))
                lines.append((utterances[-1].speaker, _plain(record["Utterance"])))
            except InvalidRowError as e:
                problems += [f"{table}, row {number}, column {column}: {text}" for column, text in e.problems]
    if problems:
        raise ManifestError(f"{len(problems)} fault(s) in MELD's tables:", problems)
    return _with_lines(utterances, lines)


def _find_table(root: Path, files: Iterable[str], name: str) -> str:
    """Return the path of the table called `name`, the one nearest to the root."""
    found = sorted((path for path in files if path.split("/")[-1] == name), key=lambda p: (p.count("/"), p))
    if not found:
        raise ManifestError(f"{root}: found no {name}; expected MELD's three tables, see data/MELD there")
    if len({(root / path).read_bytes() for path in found}) > 1:
        raise ManifestError(f"{root}: {name} appears in several places with different contents; keep one:", found)
    return found[0]


def _find_folder(files: Iterable[str], name: str) -> str:
    """Return where the clips of a split lie: MELD.Raw's parts unpack to the root, or to folders of their own."""
    found = {"/".join(parts[: parts.index(name) + 1]) for p in files if name in (parts := p.split("/"))[:-1]}
    return min(found, key=lambda p: (p.count("/"), p), default=name)


def _records(table: Path, problems: list[str]) -> Iterable[dict[str, str]]:
    """Yield the rows of a table as texts by column name."""
    reader = csv.DictReader(io.StringIO(_decode(table.read_bytes()), newline=""))
    missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        problems.append(f"{table.name}: found no column {', '.join(missing)}; expected MELD's own header")
        return
    for record in reader:
        yield {name: (record[name] or "").strip() for name in NEEDED}


def _utterance(split: str, folder: str, record: Mapping[str, str]) -> Utterance:
    faults = []
    for column in ("Dialogue_ID", "Utterance_ID", "Season", "Episode"):
        if not re.fullmatch(r"[0-9]{1,6}", record[column]):
            faults.append((column, f"found {record[column]!r}; expected a whole number"))
    for column in ("StartTime", "EndTime"):
        if not _TIME.fullmatch(record[column]):
            faults.append((column, f"found {record[column]!r}; expected a time such as 00:14:38,127"))
    if faults:
        raise InvalidRowError(faults)
    dialogue, turn = int(record["Dialogue_ID"]), int(record["Utterance_ID"])
    return Utterance(
        id=f"{split}_dia{dialogue}_utt{turn}",
        path=f"{folder}/dia{dialogue}_utt{turn}.mp4",
        split=split,
        dialogue=f"{split}_dia{dialogue}",
        turn=turn,
        speaker=_mend(record["Speaker"]),
        emotion=canonical_emotion(record["Emotion"]),
        sentiment=record["Sentiment"].lower(),
        extra={
            "episode": f"s{int(record['Season']):02}e{int(record['Episode']):02}",
            "table_start_s": _seconds(record["StartTime"]),
            "table_end_s": _seconds(record["EndTime"]),
        },
    )


def _with_lines(utterances: Sequence[Utterance], lines: Sequence[tuple[str, str]]) -> list[Utterance]:
    """Number the (speaker, words) pairs that stand more than once, in the order in which they first do."""
    repeats = Counter(lines)
    numbers = {line: str(n) for n, line in enumerate((line for line in repeats if repeats[line] > 1), start=1)}
    return [
        replace(utterance, extra={**utterance.extra, "line": numbers[line]}) if line in numbers else utterance
        for utterance, line in zip(utterances, lines, strict=True)
    ]


def _seconds(text: str) -> str:
    """Return ``00:14:38,127`` as ``878.127``."""
    match = _TIME.fullmatch(text)
    assert match is not None
    hours, minutes, seconds = (int(part) for part in match.groups()[:3])
    milliseconds = int(match[4].ljust(3, "0"))
    return number_text(((hours * 60 + minutes) * 60_000 + seconds * 1000 + milliseconds) / 1000)


def _plain(words: str) -> str:
    """Reduce words to what survives every known damage: ASCII, lower case, single spaces."""
    return " ".join(re.sub(r"[^\x20-\x7e]", "", words.lower()).split())


def _decode(raw: bytes) -> str:
    """Decode a table line by line, since damaged copies mix UTF-8 with cp1252."""
    lines = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return "\n".join(_decode_line(line) for line in lines)


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return _mend(line.decode("latin-1"))


def _mend(text: str) -> str:
    """Undo cp1252 damage: ``Richardâ€™s``, ``Richard\\x92s`` and ``Richard\\ufffds`` become ``Richard’s``."""
    for wrong in ("latin-1", "cp1252"):
        try:
            text = text.encode(wrong).decode("utf-8")
        except UnicodeError:
            continue
    text = "".join(bytes([ord(c)]).decode("cp1252", "replace") if "\x80" <= c <= "\x9f" else c for c in text)
    return re.sub(r"(?<=\w)\ufffd(?=\w)", "’", text)
