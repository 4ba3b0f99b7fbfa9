"""A bundle whose encoders are built: it predicts as often as it is asked, and its weights are read once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from dualstream.features.device import choose_device, require_device
from dualstream.features.encode import ClipPlan
from dualstream.heads.data.speaker_batches import SpeakerBatch, speaker_batches
from dualstream.pipeline.bundles.folder import Bundle
from dualstream.pipeline.bundles.inference import Answers, Features, answer, make_plan, projected, recipe_of
from dualstream.pipeline.bundles.inputs import Item
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments import integrity
from dualstream.pipeline.extraction.build_shards import ShardJob, make_shards
from dualstream.pipeline.extraction.encoder_choice import is_network
from dualstream.pipeline.extraction.recipe import ExtractionOptions
from dualstream.pipeline.extraction.shards import ClipRows, split_in_shards
from dualstream.pipeline.extraction.staleness import Hasher
from numpy.typing import NDArray

from dualstream.cores import one_core

OnClip = Callable[[bool, int], None]
"""Called after each clip with (failed, frames)."""


@dataclass(frozen=True, repr=False)
class LoadedBundle:
    """A bundle, and the plan that turns clips into what its heads read."""

    bundle: Bundle
    plan: ClipPlan
    notes: list[str]
    """What a person should know of the plan: another decoder, another kind of device."""
    warnings: list[str]
    """What a person should know of the heads, such as an encoder of random weights."""

    @one_core()
    def encode(self, asked: Sequence[Utterance], *, workers: int, on_clip: OnClip) -> list[ClipRows]:
        """Encode and project clips, in batches as `extract` would cut a manifest of these rows."""
        recipe, bundle = recipe_of(self.bundle, self.plan), self.bundle
        groups = split_in_shards(asked, recipe.document["shard_size"])
        made = make_shards(
            [ShardJob(index, group) for index, group in enumerate(groups)],
            recipe,
            Hasher(Path(os.path.abspath(os.sep))),
            workers=workers,
            batches=ExtractionOptions().batches,
            on_clip=on_clip,
        )
        done: list[ClipRows] = []
        for one in made:  # raw rows of one batch at a time: those of a large network are wide
            clips = one.shard.clips
            streams = {
                name: projected([clip.streams[name] for clip in clips], bundle.projections.get(name))
                for name in bundle.streams
            }
            for at, clip in enumerate(clips):
                done.append(replace(clip, streams={name: rows[at] for name, rows in streams.items()}))
        return done

    def answer(self, items: Sequence[Item], rows: Sequence[ClipRows]) -> Answers | None:
        """Return the answers for the items that are utterances, whose rows these are; None where there is none."""
        if not rows:
            return None
        streams = {name: [clip.streams[name] for clip in rows] for name in self.bundle.streams}
        features = Features([clip.starts_s for clip in rows], streams)
        known = [item for item in items if item.utterance is not None]
        speaker = speaker_codes([item.speaker for item in known])
        return answer(self.bundle, features.feature_set(self.bundle, *_dialogues(known), speaker))

    def speaker_batches(
        self, items: Sequence[Item], rows: Sequence[ClipRows], answers: Answers | None
    ) -> list[SpeakerBatch]:
        """Return what each speaker's answers rest on; empty where the heads read rows as they are."""
        prior, known = self.bundle.speaker_prior, [item for item in items if item.utterance is not None]
        if prior is None or answers is None:
            return []
        there = np.array([any(one.present for one in clip.streams.values()) for clip in rows], dtype=np.bool_)
        said: dict[str, list[str]] = {
            task: [self.bundle.vocabulary[task][code] for code in codes] for task, codes in answers.codes.items()
        }
        return speaker_batches([item.speaker for item in known], there, prior, said)


def load(
    bundle: Bundle, *, weights: Sequence[Path] = (), device: str = "auto", ffmpeg: Path | None = None
) -> LoadedBundle:
    """Build the encoders of a bundle.

    Parameters
    ----------
    weights
        Files of encoder weights that the bundle does not carry.
    device
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    FingerprintMismatchError, UsageError
        As `make_plan` does.
    """
    try:
        require_device(device)
    except ValueError as error:
        raise UsageError(str(error)) from error
    plan, notes = make_plan(bundle, weights=weights, device=choose_device(device), ffmpeg=ffmpeg)
    specs = {name: one.spec for name, one in bundle.streams.items()}
    if device not in ("auto", "cpu") and not any(is_network(one["stream"], one["name"]) for one in specs.values()):
        notes.append(f"--device {device} is for networks, and none of the encoders is one: it changes nothing")
    warnings = integrity.with_random_weights(bundle.manifest.warnings, specs)
    return LoadedBundle(bundle, plan, notes, warnings)


def speaker_codes(names: Sequence[str]) -> NDArray[np.int64]:
    """Number the speakers; -1 where the name is empty, which is unknown."""
    known = {name: code for code, name in enumerate(sorted({name for name in names if name}))}
    return np.array([known.get(name, -1) for name in names], dtype=np.int64)


def _dialogues(items: Sequence[Item]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return codes of dialogues, and turns: a manifest's own; segments of one recording follow one another."""
    codes: dict[tuple[str, ...], int] = {}
    dialogue, turn = [], []
    for number, item in enumerate(items):
        one = item.utterance
        assert one is not None
        key: tuple[str, ...] = ("alone", str(number))
        if item.recording:
            key = ("recording", item.recording)
        elif one.dialogue:
            key = ("dialogue", one.split, one.dialogue)
        dialogue.append(codes.setdefault(key, len(codes)))
        turn.append(number if one.turn is None else one.turn)
    return np.array(dialogue, dtype=np.int64), np.array(turn, dtype=np.int64)
