"""MELD's known faults, by name: each is a row or file that was looked at, from the data set's issue threads.

https://github.com/declare-lab/MELD. A row counts as MELD's where its id and its speaker are.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from dualstream.pipeline.corpus.checks.findings import ANSWERED, Case
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus, check
from dualstream.pipeline.corpus.importers.meld import CLIP_FOLDERS
from dualstream.pipeline.storage.tree import is_hidden

UNREADABLE = {"train_dia125_utt3": "Ross"}
ABSENT = {"dev_dia110_utt7": "Phoebe"}
WRONG_TIME = {
    "test_dia38_utt4": ("Student", "304.9 s by the table"),
    "test_dia220_utt0": ("Phoebe", "235.1 s by the table"),
    "train_dia309_utt0": ("Chandler", "41.0 s by the table"),
    "test_dia155_utt3": ("Rachel", "0.000 s by the table"),
    "train_dia338_utt3": ("Rachel", "0.006 s by the table"),
}
MISSING_DIALOGUE = "train_dia60"
NEIGHBOURS = {"train_dia59_utt0": "Doug", "train_dia61_utt0": "Stevens"}  # of the dialogue that is left out
UNLABELLED = ("dev_dia49_utt4", "dev_dia49_utt5", "dev_dia66_utt9", "dev_dia66_utt10", "test_dia108_utt2")

_TWIN = re.compile(r"final_videos_test(dia\d+_utt\d+)\.mp4")
_CLIP = re.compile(r"(dia\d+_utt\d+)\.mp4")
_SPLIT_OF = {folder: split for split, folder in CLIP_FOLDERS.items()}


@dataclass(frozen=True)
class Surplus:
    """Clips that no row names, sorted by what is known of MELD's."""

    twins: tuple[Case, ...]
    unlabelled: tuple[Case, ...]
    rest: tuple[str, ...]


@check(
    "meld-unreadable",
    severity="error",
    noun="utterance",
    topic="meld",
    what="MELD's clip that can't be opened",
    means=f"it has no index (moov atom); {ANSWERED}",
)
def unreadable(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find MELD's clip that can't be opened, unless it can be here."""
    return _broken(corpus, UNREADABLE)


@check(
    "meld-absent",
    severity="error",
    noun="utterance",
    topic="meld",
    what="MELD's row without a clip",
    means=f"MELD.Raw does not hold it; {ANSWERED}",
)
def absent(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find MELD's row without a clip, unless it has one here."""
    return _broken(corpus, ABSENT)


@check(
    "meld-wrong-time",
    severity="warning",
    noun="utterance",
    topic="meld",
    what="MELD's row with a wrong time",
    means="the clip holds minutes of other talk, or next to nothing: features say little about the label.",
)
def wrong_time(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find MELD's rows whose times are known to be wrong."""
    speakers = _speakers(corpus, WRONG_TIME)
    return (Case(name, detail) for name, (speaker, detail) in WRONG_TIME.items() if speakers.get(name) == speaker)


@check(
    "meld-twin",
    severity="warning",
    noun="utterance",
    topic="meld",
    what="MELD holds a second cut of the clip, final_videos_test…",
    means="which cut is right is disputed; the manifest names the plain one, others may have used the twin.",
)
def twin(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find second cuts of test clips."""
    return iter(surplus(corpus).twins)


@check(
    "meld-distorted",
    severity="warning",
    noun="utterance",
    topic="meld",
    what="MELD's train clip over 2.5 MB",
    means="about 200 clips of that size have distorted sound: its audio features are doubtful.",
)
def distorted(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find MELD's train clips that are so large that their sound is probably distorted."""
    size_bytes = {fact.utterance.id: fact.size_bytes for fact in corpus.clips}
    for u in corpus.manifest:
        size = size_bytes.get(u.id, 0)
        if u.split == "train" and _name_of(u.path) == u.id and size > corpus.limits.meld_large_bytes:
            yield Case(u.id, f"{size / 1e6:.1f} MB")


@check(
    "meld-missing-dialogue",
    severity="note",
    noun="dialogue",
    topic="meld",
    what="a number that MELD leaves out",
    means="nothing is lost: no table has it.",
)
def missing_dialogue(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find the number that MELD leaves out, where both its neighbours are there."""
    speakers, dialogues = _speakers(corpus, NEIGHBOURS), {u.dialogue for u in corpus.manifest}
    if MISSING_DIALOGUE not in dialogues and all(speakers.get(n) == s for n, s in NEIGHBOURS.items()):
        yield Case(MISSING_DIALOGUE)


@check(
    "meld-unlabelled-clip",
    severity="note",
    noun="file",
    topic="meld",
    what="MELD's clip without a row",
    means="nothing reads it: no table labels it.",
)
def unlabelled_clip(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find MELD's clips without a row."""
    return iter(surplus(corpus).unlabelled)


def surplus(corpus: CheckedCorpus) -> Surplus:
    """Sort the clips that no row names, hidden files apart."""
    ids = {u.id for u in corpus.manifest}
    twins: list[Case] = []
    unlabelled: list[Case] = []
    rest: list[str] = []
    for path in corpus.extra_files:
        *folders, name = path.split("/")
        split = _SPLIT_OF.get(folders[-1]) if folders else None
        cut = _TWIN.fullmatch(name)
        if is_hidden(path):
            continue
        if cut and f"test_{cut[1]}" in ids:
            twins.append(Case(f"test_{cut[1]}", path))
        elif cut and split == "test":
            twins.append(Case(path, "no row has the plain name"))
        elif split and _name_of(path) in UNLABELLED:
            unlabelled.append(Case(path))
        else:
            rest.append(path)
    return Surplus(tuple(twins), tuple(unlabelled), tuple(rest))


def _broken(corpus: CheckedCorpus, rows: Mapping[str, str]) -> Iterator[Case]:
    speakers, readable = _speakers(corpus, rows), {fact.utterance.id for fact in corpus.readable}
    return (Case(name) for name, speaker in rows.items() if speakers.get(name) == speaker and name not in readable)


def _speakers(corpus: CheckedCorpus, names: Container[str]) -> dict[str, str]:
    """Return the speakers of some utterances by id."""
    return {u.id: u.speaker for u in corpus.manifest if u.id in names}


def _name_of(path: str) -> str:
    """Return the id that a path of MELD.Raw stands for; empty for any other path."""
    *folders, name = path.split("/")
    clip = _CLIP.fullmatch(name)
    split = _SPLIT_OF.get(folders[-1]) if folders else None
    return f"{split}_{clip[1]}" if clip and split else ""
