"""Measure how often a scorer takes the right one of two faces that both talk, in scenes made of single clips.

    python benchmarks/bench_face_pairs.py --blazeface FILE [--lr-asd FILE] [--each 5] [--scenes 30]

The faces are those of two clips ($DUALSTREAM_DATA: clips and MOSI), the sound is that of one of them, or of one
and then the other, so that the truth is known. Half A and half B have no person in common: rules are chosen on
one and confirmed on the other. Each line has seconds with a voice of one speaker: how many are right where nobody
is left undecided, how many are decided, and how many of those are right, by voice (features/faces/pooling.py) and
window by window. Where the sound fits nobody, to decide is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import checkout  # noqa: F401
import numpy as np
from bench_faces import crops_of
from dualstream.features.faces import choice
from dualstream.features.faces.detection import build_detector
from dualstream.features.faces.region import FaceMethod
from dualstream.features.faces.scoring import SAMPLE_RATE_HZ, TICKS_PER_S, SpeakerScorer, build_scorer, contexts_s
from dualstream.features.faces.tracks import Track
from dualstream.features.faces.voice import TICK
from dualstream.features.faces.watching import Seen
from face_clips import DATA
from numpy.typing import NDArray

HALVES = {
    "A": (
        "1DmNV9C1hbY",
        "2iD-tVS8NPw",
        "5W7Z1C_fDaE",
        "6_0THN4chvY",
        "bbaf2n",
        "lwbsza",
        "WDA_AlexandriaOcasioCortez_000",
    ),
    "B": (
        "7JsX8y1ysxY",
        "8OtFthrtaJM",
        "8qrpnFRGt2A",
        "_dI--eQ6qVU",
        "brbk7n",
        "lbax4n",
        "pwij3p",
        "sbia1a",
        "WDA_KatieHill_000",
    ),
}
LEAST_TICKS, MOST_TICKS, LEAST_TURN = 60, 200, 30
LOUDNESS = 0.05  # of every clip: no speaker is known by the level
NOBODY = -1


@dataclass(frozen=True, repr=False)
class Talk:
    """One clip of one person."""

    crops: NDArray[np.uint8]
    sound: NDArray[np.float32]

    def part(self, first: int, end: int) -> NDArray[np.float32]:
        """Return the sound of some ticks."""
        return self.sound[first * TICK : end * TICK]


@dataclass(frozen=True, repr=False)
class FacePair:
    """Two faces and one sound."""

    faces: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    sound: NDArray[np.float32]
    truth: NDArray[np.int64]
    """At each tick: 0, 1 or NOBODY."""


def talk_of(path: Path, method: FaceMethod) -> Talk | None:
    """Return a clip's face from its first tick on, and its sound; None where there is no such face."""
    _, clip = crops_of(path, method)
    found = [one for one in clip.watcher.seen() if one.first_tick == 0]  # type: ignore[union-attr]
    if not found or clip.audio is None:
        return None
    crops = np.stack(max(found, key=lambda one: len(one.grey)).grey[:MOST_TICKS])
    ticks = min(len(crops), len(clip.audio) // TICK)
    sound = clip.audio[: ticks * TICK]
    loud = float(np.sqrt(np.square(sound).mean()))
    return Talk(crops[:ticks], sound * np.float32(LOUDNESS / max(loud, 1e-6))) if ticks >= LEAST_TICKS else None


def who(path: Path) -> str:
    """Return whose clip it is: MOSI's names end with a number."""
    return path.stem.rpartition("_")[0] if path.parent.parent.name == "mosi" else path.stem


def truth(*turns: tuple[int, int]) -> NDArray[np.int64]:
    """Return the truth of turns: whose, and ticks."""
    return np.concatenate([np.full(ticks, one) for one, ticks in turns])


def single(a: Talk, b: Talk, rng: np.random.Generator) -> FacePair:
    """One speaks, the other one's mouth moves."""
    n = min(len(a.crops), len(b.crops), 100)
    return FacePair((a.crops[:n], b.crops[:n]), a.part(0, n), truth((0, n)))


def once(a: Talk, b: Talk, rng: np.random.Generator) -> FacePair:
    """The speaker changes once."""
    n = min(len(a.crops), len(b.crops))
    at = int(rng.integers(LEAST_TURN, n - LEAST_TURN + 1))
    sound = np.concatenate([a.part(0, at), b.part(at, n)])
    return FacePair((a.crops[:n], b.crops[:n]), sound, truth((0, at), (1, n - at)))


def twice(a: Talk, b: Talk, rng: np.random.Generator) -> FacePair:
    """Both clips are shown twice; first one is heard, then the other."""
    n = min(len(a.crops), len(b.crops), 125)
    faces = np.concatenate([a.crops[:n]] * 2), np.concatenate([b.crops[:n]] * 2)
    return FacePair(faces, np.concatenate([a.part(0, n), b.part(0, n)]), truth((0, n), (1, n)))


def three_turns(a: Talk, b: Talk, rng: np.random.Generator) -> FacePair:
    """The other one speaks in between."""
    n = min(len(a.crops), len(b.crops))
    one, two = int(n * rng.uniform(0.25, 0.4)), int(n * rng.uniform(0.6, 0.75))
    sound = np.concatenate([a.part(0, one), b.part(one, two), a.part(two, n)])
    return FacePair((a.crops[:n], b.crops[:n]), sound, truth((0, one), (1, two - one), (0, n - two)))


def pause(a: Talk, again: Talk, b: Talk, rng: np.random.Generator) -> FacePair:
    """One speaks, rests for half a second or a second, and goes on, in another clip."""
    one, two, gap = min(len(a.crops), 75), min(len(again.crops), 75), int(rng.integers(12, 26))
    rest = np.repeat(a.crops[one - 1 : one], gap, axis=0)
    first = np.concatenate([a.crops[:one], rest, again.crops[:two]])
    second = np.concatenate([b.crops, b.crops[::-1]] * 2)[: len(first)]
    quiet = rng.normal(0, 1e-3, gap * TICK).astype(np.float32)
    sound = np.concatenate([a.part(0, one), quiet, again.part(0, two)])
    return FacePair((first, second), sound, truth((0, len(first))))


def outside(a: Talk, b: Talk, c: Talk, rng: np.random.Generator) -> FacePair:
    """One speaks, then somebody out of view."""
    n = min(len(a.crops), len(b.crops), len(c.crops))
    at = int(rng.integers(LEAST_TURN, n - LEAST_TURN + 1))
    sound = np.concatenate([a.part(0, at), c.part(at, n)])
    return FacePair((a.crops[:n], b.crops[:n]), sound, truth((0, at), (NOBODY, n - at)))


def shifted(scene: FacePair, by_s: float) -> FacePair:
    """Return a scene with its sound later, in a circle."""
    sound = np.roll(scene.sound, round(by_s * SAMPLE_RATE_HZ))
    return replace(scene, sound=sound, truth=np.full(len(scene.truth), NOBODY))


def scenes(people: dict[str, list[Talk]], count: int, seed: int) -> Iterator[tuple[str, FacePair]]:
    """Yield scenes of each kind."""
    rng = np.random.default_rng(seed)
    several = sorted(name for name, talks in people.items() if len(talks) > 1)

    def drawn(number: int) -> list[Talk]:
        names = rng.choice(sorted(people), number, replace=False)
        return [people[name][rng.integers(len(people[name]))] for name in names]

    makers: tuple[tuple[str, Callable[..., FacePair]], ...] = (
        ("one speaks", single),
        ("speaker changes once", once),
        ("twice shown", twice),
        ("three turns", three_turns),
    )
    for kind, make in makers:
        for number in range(count):
            scene = make(*drawn(2), rng)
            yield kind, scene
            if number < count // 2 and kind in ("one speaks", "twice shown"):
                yield f"{kind}, 1 s late", shifted(scene, 1.0)
                yield f"{kind}, 1.5 s early", shifted(scene, -1.5)
    for _ in range(count if several else 0):
        name, other = several[rng.integers(len(several))], drawn(2)
        one, two = rng.choice(len(people[name]), 2, replace=False)
        b = next(talk for talk in other if all(talk is not own for own in people[name]))
        yield "a pause", pause(people[name][one], people[name][two], b, rng)
    for _ in range(count):
        yield "then a voice outside", outside(*drawn(3), rng)


def answers(scene: FacePair, scorer: SpeakerScorer) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield of each second with a voice of one speaker: the truth, and whose it is by voice and by window.

    Each as a pair: without a margin, and with it (NOBODY: undecided).
    """
    ticks = len(scene.truth)
    seen = []
    for number, crops in enumerate(scene.faces):
        track = Track(number, 0, times_s=[0.0, ticks / TICKS_PER_S], faces=[])
        seen.append(Seen(track, {0: None}, 0, list(crops[:ticks])))  # type: ignore[dict-item]
    voices = choice.listen(seen, scorer, scene.sound)
    for start in range(0, ticks - TICKS_PER_S + 1, TICKS_PER_S):
        part = scene.truth[start : start + TICKS_PER_S]
        names, counts = np.unique(part, return_counts=True)
        if (np.sort(counts)[:-1] > 6).any() or voices.voice[start : start + TICKS_PER_S].sum() < 8:
            continue
        found = []
        for rule in (voices, replace(voices, model=None)):
            said = []
            for margin in (0.0, scorer.least_margin):
                made = choice.speaker(
                    seen,
                    rule,
                    shot=0,
                    target=0,
                    span_s=(start / TICKS_PER_S, start / TICKS_PER_S + 1),
                    contexts_s=contexts_s(scorer),
                    least_margin=margin,
                )
                said.append(NOBODY if made.seen is None else made.seen.track.number)
            found.append((said[0], said[1]))
        yield int(names[counts.argmax()]), found


def measure(name: str, scorer: SpeakerScorer, people: dict[str, list[Talk]], count: int, seed: int) -> None:
    """Print a line for each kind of scene, and for where nobody in view speaks."""
    rows: dict[str, list[tuple[int, list[tuple[int, int]]]]] = {}
    for kind, scene in scenes(people, count, seed):
        for whose, found in answers(scene, scorer):
            rows.setdefault(kind if whose != NOBODY else f"{kind} (nobody)", []).append((whose, found))
    for kind, lines in rows.items():
        expected = np.array([whose for whose, _ in lines])
        text = f"{name:<10} {kind:<36} {len(lines):4} seconds"
        for at, rule in enumerate(("by voice", "by window")):
            free, made = np.array([found[at] for _, found in lines]).T
            decided = made != NOBODY
            right = f", right {(free == expected).mean():.2f}" if expected[0] != NOBODY else ""
            good = f", {(made == expected)[decided].mean():.2f} right" if right and decided.any() else ""
            text += f" | {rule}{right}, {decided.mean():.2f} decided{good}"
        print(text, flush=True)


def remember_what_is_seen(scorer: Any) -> None:
    """Let lr-asd look at the same crops once only: that is most of its work, and scenes share clips."""
    known: dict[bytes, Any] = {}
    see = scorer._net.see

    def once_only(crops: Any) -> Any:
        key = hashlib.sha256(crops.numpy().tobytes()).digest()
        if key not in known:
            known[key] = see(crops)
        return known[key]

    scorer._net.see = once_only


def main() -> None:
    """Measure each scorer on both halves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blazeface", type=Path, required=True)
    parser.add_argument("--lr-asd", type=Path)
    parser.add_argument("--each", type=int, default=5, help="each so many of MOSI's clips")
    parser.add_argument("--scenes", type=int, default=30, help="of each kind")
    given = parser.parse_args()
    scorers: dict[str, SpeakerScorer] = {"sync": build_scorer("sync", None)}
    if given.lr_asd:
        scorers["lr-asd"] = build_scorer("lr-asd", given.lr_asd)
        remember_what_is_seen(scorers["lr-asd"])
    paths = [path for path in sorted((DATA / "clips").glob("*")) if path.suffix == ".mpg" or "WDA" in path.name]
    paths += sorted((DATA / "mosi" / "clips").glob("*.mp4"))[:: given.each]
    detector = build_detector("blazeface", given.blazeface)
    for name, scorer in scorers.items():
        for seed, (half, names) in enumerate(HALVES.items()):
            people: dict[str, list[Talk]] = {}
            for path in paths:
                if who(path) in names and (talk := talk_of(path, FaceMethod(detector, scorer))):
                    people.setdefault(who(path), []).append(talk)
            measure(f"{name} {half}", scorer, people, given.scenes, seed)


if __name__ == "__main__":
    main()
