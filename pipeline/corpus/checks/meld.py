"""MELD's known faults, by name: each is a row or file that was looked at, from the data set's issue threads.

https://github.com/declare-lab/MELD. A row counts as MELD's where its id and its speaker are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from dualstream.pipeline.corpus.checks.findings import Case, Finding, found
from dualstream.pipeline.corpus.checks.limits import Limits
from dualstream.pipeline.corpus.importers.meld import CLIP_FOLDERS
from dualstream.pipeline.corpus.manifest import Manifest

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


def examine_rows(manifest: Manifest, usable: Mapping[str, bool] | None = None) -> list[Finding]:
    """Return the known faults of MELD's rows; those that `usable` says can be read after all are left out.

    `usable` tells by id which clips could be opened, or is None where none was looked at.
    """
    speakers = {u.id: u.speaker for u in manifest}
    opened = usable or {}

    def broken(rows: Mapping[str, str]) -> Iterator[Case]:
        for name, speaker in rows.items():
            if speakers.get(name) == speaker and not opened.get(name, False):
                yield Case(name)

    wrong = {name: detail for name, (speaker, detail) in WRONG_TIME.items() if speakers.get(name) == speaker}
    dialogues = {u.dialogue for u in manifest}
    left_out = MISSING_DIALOGUE not in dialogues and all(speakers.get(n) == s for n, s in NEIGHBOURS.items())
    return [
        *found("meld-unreadable", broken(UNREADABLE)),
        *found("meld-absent", broken(ABSENT)),
        *found("meld-wrong-time", (Case(name, detail) for name, detail in wrong.items())),
        *found("meld-missing-dialogue", [Case(MISSING_DIALOGUE)] if left_out else []),
    ]


def examine_sizes(manifest: Manifest, size_bytes: Mapping[str, int], limits: Limits) -> list[Finding]:
    """Return MELD's train clips that are so large that their sound is probably distorted; sizes by id."""
    large = [
        (u.id, size_bytes.get(u.id, 0))
        for u in manifest
        if u.split == "train" and _name_of(u.path) == u.id and size_bytes.get(u.id, 0) > limits.meld_large_bytes
    ]
    return found("meld-distorted", (Case(name, f"{size / 1e6:.1f} MB") for name, size in large))


def examine_files(manifest: Manifest, extra: Iterable[str]) -> tuple[list[Finding], list[str]]:
    """Return MELD's known surplus files, and those of `extra` that are none of them."""
    ids = {u.id for u in manifest}
    twins: list[Case] = []
    unlabelled: list[Case] = []
    rest: list[str] = []
    for path in extra:
        *folders, name = path.split("/")
        split = _SPLIT_OF.get(folders[-1]) if folders else None
        twin = _TWIN.fullmatch(name)
        if twin and f"test_{twin[1]}" in ids:
            twins.append(Case(f"test_{twin[1]}", path))
        elif twin and split == "test":
            twins.append(Case(path, "no row has the plain name"))
        elif split and _name_of(path) in UNLABELLED:
            unlabelled.append(Case(path))
        else:
            rest.append(path)
    return [*found("meld-twin", twins), *found("meld-unlabelled-clip", unlabelled)], rest


def _name_of(path: str) -> str:
    """Return the id that a path of MELD.Raw stands for; empty for any other path."""
    *folders, name = path.split("/")
    clip = _CLIP.fullmatch(name)
    split = _SPLIT_OF.get(folders[-1]) if folders else None
    return f"{split}_{clip[1]}" if clip and split else ""
