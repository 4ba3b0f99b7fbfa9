"""Measure how often a scorer takes the right one of two faces that both talk, on clips of one speaker each.

    python benchmarks/bench_face_pairs.py --blazeface FILE [--lr-asd FILE] [--each 5]

The sound of one of two clips is given to the faces of both ($DUALSTREAM_DATA: clips and MOSI); then the same
sound a second late, and a second and a half early, which fits neither. A share of the seconds decided is good in
the first case and bad in the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from bench_faces import DATA, crops_of
from dualstream.features.faces.detection import FaceDetector, build_detector
from dualstream.features.faces.fit import LaggedScores, fit
from dualstream.features.faces.region import FaceMethod
from dualstream.features.faces.scoring import TICKS_PER_S, LaggedScorer, SpeakerScorer, build_scorer, contexts_s
from dualstream.features.faces.voice import TICK, levels_db, voiced
from numpy.typing import NDArray

PAIRS, PAIR_TICKS = 60, 100


def alone(path: Path, method: FaceMethod) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """Return what the scorer sees of a clip's face, from its first tick on, and the sound; None: no such face."""
    _, clip = crops_of(path, method)
    found = [one for one in clip.watcher.seen() if one.first_tick == 0]  # type: ignore[union-attr]
    if not found or clip.audio is None:
        return None
    seen = max(found, key=lambda one: len(one.grey))
    return np.stack(seen.grey[:PAIR_TICKS]), clip.audio


def pairs(detector: FaceDetector, scorers: dict[str, SpeakerScorer], each: int) -> None:
    """Choose between two faces second by second, by the sound of one of them, then by the same a second late."""
    paths = [path for path in sorted((DATA / "clips").glob("*")) if path.suffix == ".mpg" or "WDA" in path.name]
    paths += sorted((DATA / "mosi" / "clips").glob("*.mp4"))[::each]
    for name, scorer in scorers.items():
        method = FaceMethod(detector, scorer)
        people = {path: face for path in paths if (face := alone(path, method)) and len(face[0]) >= 60}
        known = sorted(people)
        drawn = np.random.default_rng(11).permutation(
            [(i, j) for i in range(len(known)) for j in range(len(known)) if who(known[i]) != who(known[j])]
        )[:PAIRS]
        margins: dict[int, list[tuple[float, bool]]] = {0: [], TICKS_PER_S: [], -TICKS_PER_S * 3 // 2: []}
        for i, j in drawn:
            (a, sound), (b, _) = people[known[i]], people[known[j]]
            ticks = min(len(a), len(b))
            for shift, found in margins.items():
                heard = np.roll(sound[: ticks * TICK], shift * TICK)
                found += leads(scorer, a[:ticks], b[:ticks], heard)
        (true, fits), *shifted = (np.array(one).T for one in margins.values())
        led = np.abs(true) >= scorer.least_margin
        decided = led & (fits > 0)
        fooled = [(np.abs(one) >= scorer.least_margin, fitting > 0) for one, fitting in shifted]
        print(
            f"{name}: {len(true)} seconds of {len(drawn)} pairs: {(true > 0).mean():.3f} right without a margin; "
            f"{decided.mean():.3f} decided, {(true[decided] > 0).mean():.3f} of them right (by the margin alone "
            f"{led.mean():.3f}, {(true[led] > 0).mean():.3f}); a second late, and 1.5 s early: "
            + ", ".join(f"{(a & b).mean():.3f} decided (by the margin alone {a.mean():.3f})" for a, b in fooled),
            flush=True,
        )


def leads(
    scorer: SpeakerScorer, a: NDArray[np.uint8], b: NDArray[np.uint8], heard: NDArray[np.float32]
) -> list[tuple[float, bool]]:
    """Return by how much the first face leads in each second with a voice, and whether the sound fits the shot."""
    voice = voiced(levels_db(heard, len(a)))
    lagged: list[LaggedScores] = []
    if isinstance(scorer, LaggedScorer):
        (first, *_), (second, *_) = both = scorer.score_lags(a, heard), scorer.score_lags(b, heard)
        lagged = [one for one in (LaggedScores.of(0, by_lag) for _, by_lag in both) if one is not None]
        least_fit = scorer.least_fit
    else:
        first, second, least_fit = scorer.score(a, heard), scorer.score(b, heard), 0.0
    lead = first - second
    contexts = [round(one * TICKS_PER_S) for one in contexts_s(scorer)]
    found = []
    for start in range(0, len(lead) - TICKS_PER_S + 1, TICKS_PER_S):
        nears = [slice(max(0, start - beside), start + TICKS_PER_S + beside) for beside in contexts]
        values = [lead[near][voice[near]] for near in nears]
        if voice[start : start + TICKS_PER_S].sum() >= 8 and np.isfinite(values[0]).any():
            means = [float(np.nanmean(one)) for one in values]
            fits = not fit(lagged, voice, (start, start + TICKS_PER_S)) < least_fit
            found.append((next((one for one in means if abs(one) >= scorer.least_margin), means[0]), fits))
    return found


def who(path: Path) -> str:
    """Return whose clip it is: MOSI's names end with a number."""
    return path.stem.rpartition("_")[0] if path.parent.parent.name == "mosi" else path.stem


def main() -> None:
    """Measure each scorer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blazeface", type=Path, required=True)
    parser.add_argument("--lr-asd", type=Path)
    parser.add_argument("--each", type=int, default=5, help="each so many of MOSI's clips")
    given = parser.parse_args()
    scorers: dict[str, SpeakerScorer] = {"sync": build_scorer("sync", None)}
    if given.lr_asd:
        scorers["lr-asd"] = build_scorer("lr-asd", given.lr_asd)
    pairs(build_detector("blazeface", given.blazeface), scorers, given.each)


if __name__ == "__main__":
    main()
