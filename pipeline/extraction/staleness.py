"""Has a clip changed since its shard was made? Sizes and times answer without reading; bytes decide."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dualstream.features.media import DecodeSettings
from dualstream.features.single_read import digest_of_file
from dualstream.pipeline.corpus.clip_files import NoClipError, clip_at
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.extraction.shards import KIND, Shard, members_digest, read_shard_and_digest, shard_path
from dualstream.pipeline.provenance import canonical_json, digest_of
from dualstream.pipeline.storage.sealed import peek_digest, publish

from dualstream.documents import JsonObject

ABSENT = (-1, -1)  # size and time of a clip that is no regular file inside the data root


@dataclass(frozen=True)
class Freshness:
    """Whether a committed shard can stay."""

    fresh: bool
    why: str = ""
    """Why it must be made (again); empty where it can stay."""
    damaged: bool = False
    """Whether its own bytes are the reason."""
    gone: int = 0
    """Clips that it was made of and that are not there any more."""


DigestKey = tuple[Path, int, int]


class Hasher:
    """SHA-256 of clips; a file that many utterances share is read once. Safe to use from many threads."""

    reads_cheaply = True
    """Whether bytes are at hand, and not fetched from elsewhere."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[DigestKey, str] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> JsonObject:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: JsonObject) -> None:
        vars(self).update(state)
        self._lock = threading.Lock()

    def place(self, path: str) -> Path | None:
        """Return where a manifest's path leads, or None where `require` refuses it."""
        try:
            return self.require(path)
        except NoClipError:
            return None

    def require(self, path: str) -> Path:
        """Return where a manifest's path leads.

        Raises
        ------
        NoClipError
            Where that is no regular file inside the root.
        """
        return clip_at(self.root, path)

    def places(self, utterance: Utterance, settings: DecodeSettings) -> tuple[Path, Path | None]:
        """Return the file to read, and that of the sound where it is another.

        A file of which nothing is read may lack: then the other one is read by itself.

        Raises
        ------
        NoClipError
            Where one of them is no regular file inside the root.
        """
        if len(utterance.files) == 1:
            return self.require(utterance.path), None
        video, sound = map(self.place, utterance.files)
        if video is None and (settings.frame_size_px is not None or sound is None):
            self.require(utterance.path)
        if sound is None and settings.sample_rate_hz is not None:
            try:
                self.require(utterance.sound)
            except NoClipError as error:
                raise error.of(f"the sound {utterance.sound}") from error
        return (video, sound) if video is not None else (cast(Path, sound), None)

    def stat(self, *paths: str) -> tuple[int, int]:
        """Return size in bytes and time of the last change in nanoseconds, or `ABSENT`.

        Of a clip in two files: two numbers that change as soon as one of these does.
        """
        stats = [self._stat(path) for path in paths]
        if len(stats) == 1 or set(stats) == {ABSENT}:
            return stats[0]
        return sum(size for size, _ in stats), int(digest_of(stats)[:15], 16)

    def digest(self, *paths: str) -> str:
        """Return the SHA-256 of a clip's bytes, or an empty string where there is no readable file.

        Of a clip in two files: the SHA-256 of the line ``VIDEO SOUND``, the digests of the two, in hex.
        """
        digests = [self._digest(path) for path in paths]
        if len(digests) == 1 or not any(digests):
            return digests[0]
        return hashlib.sha256(f"{' '.join(digests)}\n".encode()).hexdigest()

    def for_worker(self, *paths: str) -> Hasher:
        """Return who answers for a clip's files in a worker process, as long as they are `held` here."""
        there = Hasher(self.root)
        there.learn(self.known(*paths))
        return there

    def known(self, *paths: str) -> dict[DigestKey, str]:
        """Return the digests that are known of clips as they are now."""
        try:
            keys = [self._key(place) for place in map(self.place, paths) if place is not None]
        except OSError:
            return {}
        with self._lock:
            return {key: self._known[key] for key in keys if key in self._known}

    def learn(self, known: Mapping[DigestKey, str]) -> None:
        """Take digests that another process worked out."""
        with self._lock:
            self._known.update(known)

    def _stat(self, path: str) -> tuple[int, int]:
        place = self.place(path)
        try:
            facts = os.stat(place) if place else None
        except OSError:
            facts = None
        return (facts.st_size, facts.st_mtime_ns) if facts else ABSENT

    def held(self, *paths: str) -> contextlib.AbstractContextManager[None]:
        """Keep files at hand within a block; here they are so anyway."""
        return contextlib.nullcontext()

    def bring(self, *paths: str) -> None:
        """Fetch files that are `held`; here they are at hand."""

    def stop(self) -> None:
        """End what other threads wait for; here they wait for no store."""

    def close(self) -> None:
        """Remove what was fetched; here nothing is."""

    def is_gone(self, files: Iterable[str], sha256: str) -> bool:
        """Tell whether a clip that was there went away, by its digest (empty: not read) and by looking again."""
        return not (sha256 and all(map(self.is_readable, files)))

    def is_unanswered(self, *paths: str) -> bool:
        """Tell whether nobody can say if a clip is there; here that is always known."""
        return False

    def is_readable(self, path: str) -> bool:
        """Tell whether a clip's first byte can be read just now."""
        try:
            with open(self.require(path), "rb") as file:
                file.read(1)
        except (OSError, NoClipError):
            return False
        return True

    def _key(self, place: Path) -> DigestKey:
        facts = os.stat(place)
        return place, facts.st_size, facts.st_mtime_ns

    def _digest(self, path: str) -> str:
        place = self.place(path)
        if place is None:
            return ""
        try:
            key = self._key(place)
            with self._lock:
                known = self._known.get(key)
            if known is None:
                known = digest_of_file(place)
                with self._lock:
                    self._known[key] = known
            return known
        except OSError:
            return ""


def check_freshness(
    folder: Path,
    index: int,
    utterances: Sequence[Utterance],
    hasher: Hasher,
    *,
    reread: bool = False,
    reads_media: bool = True,
    noting: bool = True,
) -> Freshness:
    """Tell whether shard `index` can stay.

    Parameters
    ----------
    reread
        Read every clip and the shard itself; False: only clips whose size or time differs from what was noted.
    reads_media
        False where all streams are tables, whose digests the fingerprint holds: clips do not matter then.
    noting
        Note what was seen beside the shard; False: write nothing.
    """
    path = shard_path(folder, index)
    try:
        sealed = peek_digest(path, KIND)
    except FileNotFoundError:
        return Freshness(False, "not made yet")
    except CorruptError as error:
        return Freshness(False, str(error), damaged=True)
    members = members_digest(utterances)
    seen = _read_state(folder, index)
    if reread or seen is None or seen.get("shard") != sealed or seen.get("members") != members:
        try:
            shard, sealed = read_shard_and_digest(path)
        except CorruptError as error:
            return Freshness(False, str(error), damaged=True)
        if shard.members != members:
            return Freshness(False, "the manifest lists other clips there")
        known = [(ABSENT, clip.sha256) for clip in shard.clips]
        reread = True
    else:
        known = [((size, time_ns), sha256) for size, time_ns, sha256 in seen["clips"]]
    if not reads_media:
        return Freshness(True)
    stats = [hasher.stat(*one.files) for one in utterances]
    pairs = zip(utterances, stats, strict=True)
    asked = [stat != ABSENT or not hasher.is_unanswered(*one.files) for one, stat in pairs]
    triples = zip(asked, stats, known, strict=True)
    gone = sum(answered and stat == ABSENT and sha256 != "" for answered, stat, (_, sha256) in triples)
    for utterance, answered, stat, (before, sha256) in zip(utterances, asked, stats, known, strict=True):
        if not answered or not (reread or stat != before):
            continue
        found = hasher.digest(*utterance.files)
        if found != sha256 and (found or hasher.reads_cheaply or stat == ABSENT):  # else it could not be fetched
            return Freshness(False, f"the bytes of {utterance.id} changed", gone=gone)
    if noting and (reread or stats != [before for before, _ in known]):
        # What can't be read is looked at again next time, when perhaps it can.
        noted = [ABSENT if not sha256 else stat for stat, (_, sha256) in zip(stats, known, strict=True)]
        _write_state(folder, index, sealed, members, noted, [sha256 for _, sha256 in known])
    return Freshness(True)


def record_stats(
    folder: Path,
    index: int,
    utterances: Sequence[Utterance],
    stats: Sequence[tuple[int, int]],
    shard: Shard,
    sealed: str,
) -> None:
    """Note beside a shard just committed, of the digest `sealed`, how its clips looked before they were read."""
    digests = [clip.sha256 for clip in shard.clips]
    _write_state(folder, index, sealed, members_digest(utterances), stats, digests)


def _state_path(folder: Path, index: int) -> Path:
    return folder / f"shard-{index:05d}.clips.json"


def _read_state(folder: Path, index: int) -> JsonObject | None:
    """Return the note beside a shard, or None where there is none that makes sense: it is only a shortcut."""
    try:
        state = json.loads(_state_path(folder, index).read_bytes())
        for size, time_ns, sha256 in state["clips"]:
            if not (isinstance(size, int) and isinstance(time_ns, int) and isinstance(sha256, str)):
                return None
        return dict(state)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write_state(
    folder: Path,
    index: int,
    sealed: str,
    members: str,
    stats: Sequence[tuple[int, int]],
    digests: Sequence[str],
) -> None:
    clips = [[size, time_ns, sha256] for (size, time_ns), sha256 in zip(stats, digests, strict=True)]
    state = {"shard": sealed, "members": members, "clips": clips}
    publish(_state_path(folder, index), canonical_json(state).encode("utf-8"), durable=False)
