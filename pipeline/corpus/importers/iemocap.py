"""IEMOCAP: five sessions of two actors each; labels and times from dialog/EmoEvaluation.

Busso et al., "IEMOCAP: Interactive emotional dyadic motion capture database", Language Resources and
Evaluation 2008, https://sail.usc.edu/iemocap. The label is the majority of the annotators.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dualstream.pipeline.corpus.labels import canonical_emotion
from dualstream.pipeline.corpus.manifest import ManifestError
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.storage.tree import files_below, is_hidden

UNLABELLED = {"xxx": ""}  # the annotators did not agree
OTHER = {"oth": "other"}

READS = re.compile(r"(?:.*/)?(?P<session>Session[1-5])/dialog/EmoEvaluation/(?P<dialogue>Ses0[1-5][FM]_\w+)\.txt")
_BEGINS = re.compile(r"\s*\[\s*\d")
_LINE = re.compile(
    r"\[(?P<start>\d+\.\d+) - (?P<end>\d+\.\d+)\]\t"
    r"(?P<id>Ses0[1-5][FM]_\w+_(?P<actor>[FM])[A-Z]*\d+)\t(?P<emotion>\w+)\t"
)


def rows(root: Path) -> Sequence[Utterance]:
    """Return IEMOCAP's utterances, dialogue by dialogue, in the order in which they begin.

    Where a dialogue's film is there (``dialog/avi/DivX``), an utterance is a span of it; else it is the
    ready-cut sound (``sentences/wav``). The film shows both actors at once. Utterances without a majority
    are unlabelled.
    """
    files = files_below(root)
    present = set(files)
    tables = [match for path in files if not is_hidden(path) and (match := READS.fullmatch(path))]
    if not tables:
        raise ManifestError(f"{root}: found no Session1/dialog/EmoEvaluation/Ses01F_impro01.txt; expected IEMOCAP")
    return [utterance for table in tables for utterance in _dialogue(root, table, present)]


def left_out(root: Path) -> Iterator[tuple[str, str]]:
    """Yield lines of the tables that begin as an utterance's do and can't be read."""
    for path in files_below(root):
        if READS.fullmatch(path) and not is_hidden(path):
            for number, line in enumerate(
                (root / path).read_text("utf-8", errors="replace").splitlines(), start=1
            ):
                if _BEGINS.match(line) and not _LINE.match(f"{line}\t"):
                    yield "line", f"{path}, line {number}"


def _dialogue(root: Path, table: re.Match[str], present: set[str]) -> Iterator[Utterance]:
    session = table[0].split("/dialog/EmoEvaluation/")[0]
    dialogue = table["dialogue"]
    film = f"{session}/dialog/avi/DivX/{dialogue}.avi"
    text = (root / table[0]).read_text("utf-8", errors="replace")
    found = sorted(_LINE.finditer(text), key=lambda line: float(line["start"]))
    for turn, line in enumerate(found):
        start_s, end_s = (float(line["start"]), float(line["end"])) if film in present else (None, None)
        word = line["emotion"]
        yield Utterance(
            line["id"],
            film if film in present else f"{session}/sentences/wav/{dialogue}/{line['id']}.wav",
            "train",
            start_s,
            end_s,
            dialogue=dialogue,
            turn=turn,
            speaker=dialogue[:5] + line["actor"],
            emotion=UNLABELLED[word] if word in UNLABELLED else OTHER.get(word) or canonical_emotion(word),
            extra={"episode": dialogue, "table_start_s": line["start"], "table_end_s": line["end"]},
        )
