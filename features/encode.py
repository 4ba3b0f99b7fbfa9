"""Stage 1 for one file: windows → decode → encode. Frames wait for the device, sound becomes rows at once.

    worker thread        begin_clip ── ffmpeg ──► frames, sound ──► rows of sound, rows of tables
                                                    │ frames
    main thread          FrameBatcher ◄─────────────┘ batches over the clips of one shard, in order
                              └──► finish_clip ──► StreamFeatures by stream name

Which frames share a forward pass follows from the clips' order alone, so that no number of workers changes a bit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from dualstream.features.batching import FrameBatcher
from dualstream.features.clip_plan import ClipPlan, decode_settings
from dualstream.features.encoder import AudioEncoder, Encoder, StreamFeatures, VideoEncoder
from dualstream.features.faces.people import People
from dualstream.features.faces.region import Crops, RegionEncoder
from dualstream.features.faces.rows import FaceRows
from dualstream.features.media import MediaError
from dualstream.features.options import Region
from dualstream.features.preparation import OnlyPrepares, Prepared, PreparingEncoder
from numpy.typing import NDArray

from dualstream.cores import one_blas_thread


@dataclass(repr=False)
class BegunClip:
    """A clip whose sound is rows already and whose frames wait for the device."""

    duration_s: float
    """Seconds; NaN where nobody knows (streams from tables, and no media)."""
    starts_s: NDArray[np.float64]
    """Start of each window, shape (K,)."""
    streams: dict[str, StreamFeatures]
    """Streams that are done."""
    frames: NDArray[np.uint8]
    """Frames to encode, shape (F, S, S, 3)."""
    frame_window: NDArray[np.int64]
    """The window that each frame stands for, shape (F,)."""
    frame_time_s: NDArray[np.float64]
    """The presentation time of each frame on the clip's clock, seconds, shape (F,)."""
    crops: dict[Region, Crops] = field(default_factory=dict)
    """Crops to encode, by region, where encoders see faces."""
    notes: list[str] = field(default_factory=list)
    """What was odd."""
    stream_notes: dict[str, list[str]] = field(default_factory=dict)
    """What was odd about the rows of a stream of sound."""
    sound: tuple[NDArray[np.float32], tuple[float, float]] | None = None
    """Samples and the span that they cover, seconds, where they are kept (`ClipPlan.keep_sound`)."""
    prepared: dict[str, Prepared] = field(default_factory=dict)
    """What the networks of another process take of the sound, by stream."""

    @property
    def size_bytes(self) -> int:
        """Memory that the clip holds while it waits."""
        rows = sum(one.windows.nbytes + one.utterance.nbytes for one in self.streams.values())
        return int(self.frames.nbytes) + sum(one.size_bytes for one in self.crops.values()) + rows

    @property
    def frame_count(self) -> int:
        """Frames and crops that wait."""
        return len(self.frames) + sum(one.count for one in self.crops.values())

    def frames_by_stream(self, video: Mapping[str, VideoEncoder]) -> dict[str, NDArray[np.uint8]]:
        """Return the frames that each encoder is to see."""
        return {
            name: self.crops[one.region].to_encode if isinstance(one, RegionEncoder) else self.frames
            for name, one in video.items()
        }

    def release(self) -> None:
        """Let go of the pixels."""
        self.frames = self.frames[:0].copy()
        self.crops = {region: one.released() for region, one in self.crops.items()}


def begin_clip(
    path: Path | None,
    utterance_id: str,
    plan: ClipPlan,
    *,
    span_s: tuple[float, float] | None = None,
    sound: Path | None = None,
) -> BegunClip:
    """Decode one clip, turn its sound into rows, and look it up in the tables.

    Parameters
    ----------
    path
        The file; None where `plan` reads no media.
    utterance_id
        The key in tables.
    span_s
        The half-open part of the file that is the clip, seconds; None: all of it.
    sound
        The file that holds the sound, where that is not `path`.

    Raises
    ------
    MediaError
        Where the file gives no arrays.
    ValueError
        Where an encoder refuses what the file gave.
    """
    if plan.decode is None or path is None:
        duration_s = span_s[1] - span_s[0] if span_s else float("nan")
        starts_s = plan.windows.starts_s(duration_s) if span_s else _starts_of_tables(plan, utterance_id)
        streams = _from_tables(plan, utterance_id, starts_s)
        return BegunClip(duration_s, starts_s, streams, *_no_frames())
    clip, crops = plan.read_regions(path, span_s=span_s, sound=sound)
    heard = plan.heard(clip, utterance_id)
    begun = BegunClip(
        duration_s=clip.duration_s,
        starts_s=clip.starts_s,
        streams={},
        frames=clip.frames,
        frame_window=clip.frame_window,
        frame_time_s=clip.frame_time_s,
        crops=crops,
        notes=[str(note) for note in clip.notes],
        sound=None if heard is None or clip.audio_covered_s is None else (heard, clip.audio_covered_s),
    )
    return complete_clip(begun, utterance_id, plan)


def complete_clip(begun: BegunClip, utterance_id: str, plan: ClipPlan) -> BegunClip:
    """Add the rows of sound, and of tables, that a clip lacks; let go of its sound unless that is to be kept.

    A clip that another process began lacks the streams whose encoders did not travel there. Of those that went to
    prepare the sound it has what they prepared.

    Raises
    ------
    ValueError
        Where an encoder refuses the sound.
    """
    streams = begun.streams | _from_tables(plan, utterance_id, begun.starts_s, known=begun.streams)
    stream_notes = dict(begun.stream_notes)
    prepared: dict[str, Prepared] = {}
    for name, encoder in plan.audio.items():
        if name in streams:
            continue
        said = _heard(begun, name, encoder, plan.windows.length_s)
        if isinstance(said, Prepared):
            prepared[name] = said
        elif said is None:
            streams[name] = absent(encoder, len(begun.starts_s))
        else:
            streams[name] = _tidy(said, name, stream_notes.setdefault(name, []))
    kept = begun.sound if plan.keep_sound else None
    return replace(begun, streams=streams, stream_notes=stream_notes, sound=kept, prepared=prepared)


@one_blas_thread()
def _heard(
    begun: BegunClip, name: str, encoder: AudioEncoder, length_s: float
) -> StreamFeatures | Prepared | None:
    """Return what an encoder says of a clip's sound, or prepares of it; None where there is none."""
    if name in begun.prepared and isinstance(encoder, PreparingEncoder):
        return encoder.encode_prepared(begun.prepared[name], begun.starts_s, length_s)
    if begun.sound is None:
        return None
    samples, covered_s = begun.sound
    if isinstance(encoder, OnlyPrepares):
        return encoder.preparation.prepare(samples, begun.starts_s, length_s, covered_s)
    return encoder.encode_audio(samples, begun.starts_s, length_s, covered_s)


def finish_clip(begun: BegunClip, rows: Mapping[str, NDArray[np.float32]], plan: ClipPlan) -> BegunClip:
    """Place the rows of a clip's frames, shape (F, raw_width) by stream, in its windows; let go of the frames."""
    notes = [*begun.notes, *(note for name in plan.audio for note in begun.stream_notes.get(name, ()))]
    streams = dict(begun.streams)
    for name, encoder in plan.video.items():
        streams[name] = _tidy(_of_frames(begun, rows[name], encoder), name, notes)
    done = replace(begun, streams={name: streams[name] for name in plan.encoders}, notes=notes)
    done.release()
    return done


def unread(plan: ClipPlan, utterance_id: str) -> BegunClip:
    """Return what there is of a clip that could not be read: what tables know of it, over masked windows."""
    starts_s = _starts_of_tables(plan, utterance_id)
    known = _from_tables(plan, utterance_id, starts_s)
    streams = {
        name: known[name] if name in known else absent(encoder, len(starts_s))
        for name, encoder in plan.encoders.items()
    }
    return BegunClip(float("nan"), starts_s, streams, *_no_frames())


def absent(encoder: Encoder, count: int) -> StreamFeatures:
    """Return a stream that is masked throughout, over `count` windows."""
    rows = count if encoder.spec.has_windows else 0
    nothing = StreamFeatures.nothing(encoder.spec.raw_width, rows)
    if not isinstance(encoder, RegionEncoder):
        return nothing
    return replace(nothing, faces=FaceRows.nothing(rows), people=People() if encoder.tells_apart else None)


def encode_clip(
    path: Path | None, utterance_id: str, plan: ClipPlan, *, span_s: tuple[float, float] | None = None
) -> BegunClip:
    """Do all of stage 1 for one file: `begin_clip`, the forward passes, `finish_clip`.

    Raises
    ------
    MediaError, ValueError
        As `begin_clip`.
    """
    begun = begin_clip(path, utterance_id, plan, span_s=span_s)
    batcher = FrameBatcher(plan.video)
    batcher.add(begun.frames_by_stream(plan.video))
    return finish_clip(begun, {name: rows[0] for name, rows in batcher.finish().items()}, plan)


def _of_frames(begun: BegunClip, rows: NDArray[np.float32], encoder: VideoEncoder) -> StreamFeatures:
    """Put each frame's row, or each crop's, into its window."""
    width = encoder.spec.raw_width
    if not isinstance(encoder, RegionEncoder):
        return place_rows(rows, begun.frame_window, begun.frame_time_s, len(begun.starts_s), width)
    crops = begun.crops[encoder.region]
    own, of_rivals = np.split(rows, [len(crops.window)])
    placed = place_rows(own, crops.window, crops.time_s, len(begun.starts_s), width)
    people = crops.people and replace(crops.people, rivals=replace(crops.people.rivals, rows=of_rivals))
    return replace(placed, faces=crops.faces, people=people)


def place_rows(
    rows: NDArray[np.float32], window: NDArray[np.int64], row_time_s: NDArray[np.float64], count: int, width: int
) -> StreamFeatures:
    """Put rows into their windows; the utterance's row is the mean of the windows that have one."""
    windows = np.zeros((count, width), np.float32)
    mask = np.zeros(count, np.bool_)
    time_s = np.full(count, np.nan)
    windows[window] = rows
    mask[window] = True
    time_s[window] = row_time_s
    return StreamFeatures(_mean_row(windows, mask), bool(mask.any()), windows, mask, time_s)


def _mean_row(windows: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean of the rows that are there, summed in float64; zeros where there is none."""
    rows = windows[mask]
    mean = rows.mean(axis=0, dtype=np.float64) if len(rows) else np.zeros(windows.shape[1])
    return mean.astype(np.float32)


def _tidy(said: StreamFeatures, name: str, notes: list[str]) -> StreamFeatures:
    """Mask rows that hold NaN or infinity, which would spoil every sum they enter, and note it.

    Afterwards masked rows are zeros, their times NaN, and an absent stream has no window.
    """
    mask = said.window_present & np.isfinite(said.windows).all(axis=1) & said.present
    bad = int((said.window_present & said.present).sum() - mask.sum())
    utterance, present = said.utterance, said.present
    if present and not np.isfinite(utterance).all():
        notes.append(f"{name}: the utterance row was not finite")
        utterance, present = _mean_row(said.windows, mask), bool(mask.any())
    if bad:
        notes.append(f"{name}: {bad} window rows were not finite")
    return StreamFeatures(
        utterance=utterance if present else np.zeros_like(utterance),
        present=present,
        windows=np.where(mask[:, None], said.windows, np.float32(0)),
        window_present=mask,
        time_s=np.where(mask, said.time_s, np.nan),
        faces=said.faces,
        people=said.people and said.people.finite(),
    )


def _from_tables(
    plan: ClipPlan, utterance_id: str, starts_s: NDArray[np.float64], known: Collection[str] = ()
) -> dict[str, StreamFeatures]:
    """Look an utterance up in the tables whose streams are not `known` yet."""
    return {
        name: table.lookup(utterance_id, starts_s, plan.windows.length_s)
        for name, table in plan.tables.items()
        if name not in known
    }


def _starts_of_tables(plan: ClipPlan, utterance_id: str) -> NDArray[np.float64]:
    """Return starts of windows that reach as far as any table's rows do; one window where no table has times."""
    reach = [one.extent_s(utterance_id, plan.windows.length_s) for one in plan.tables.values()]
    known = [end_s for end_s in reach if end_s is not None]
    return plan.windows.starts_s(max(known)) if known else np.zeros(1)


def _no_frames() -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float64]]:
    return np.empty((0, 1, 1, 3), np.uint8), np.empty(0, np.int64), np.empty(0, np.float64)


__all__ = [
    "BegunClip",
    "ClipPlan",
    "MediaError",
    "absent",
    "begin_clip",
    "complete_clip",
    "decode_settings",
    "encode_clip",
    "finish_clip",
    "unread",
]
