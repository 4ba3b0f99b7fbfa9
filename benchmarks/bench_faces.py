"""Measure detectors, the choice of the speaker's face, steadiness and cost on real clips ($DUALSTREAM_DATA).

    python benchmarks/bench_faces.py --blazeface FILE [--yunet FILE] [--lr-asd FILE] [--mtcnn] PART …

Parts: detectors, speakers, composites, held-out, mosi, cost. Times are CPU seconds of this process and of ffmpeg.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import checkout  # noqa: F401
import numpy as np
from dualstream.features.faces.detection import Face, FaceDetector, build_detector
from dualstream.features.faces.region import Crops, FaceMethod, FaceReading
from dualstream.features.faces.rows import CHOSEN, NO_FACE
from dualstream.features.faces.scoring import SAMPLE_RATE_HZ, TICKS_PER_S, SpeakerScorer, build_scorer
from dualstream.features.faces.voice import TICK, levels_db, voiced
from dualstream.features.media import Clip, read_clip, write_clip
from dualstream.features.media.pictures import Picture
from dualstream.features.options import Region
from dualstream.features.windows import Sampling, WindowPlan
from face_clips import DATA, HELD_OUT, PLAN, SEEN_BEFORE, SETTINGS, Collector, composite, pictures
from numpy.typing import NDArray

SECOND = WindowPlan(1.0, 1.0)
COST_S, MELD_H, ALL = 6, 12.1, "all pictures, nothing done with them"


def cpu_s() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def detect(detector: FaceDetector, picture: Picture, share: float = 1.0) -> tuple[list[float], float]:
    """Return the sides of the faces that are found, pixels, and the CPU seconds that it took.

    With `share` below 1 the picture is made smaller, as a person further away is, in a grey frame of its old size.
    """
    width, height = picture.width_px, picture.height_px
    image = np.full((height, width, 3), 90, np.uint8)
    small = max(2, round(width * share)), max(2, round(height * share))
    x, y = (width - small[0]) // 2, (height - small[1]) // 2
    image[y : y + small[1], x : x + small[0]] = picture.rgb((0, 0, width, height), small)
    scale = min(1.0, detector.side_px / max(width, height))
    from PIL import Image

    size = max(1, round(width * scale)), max(1, round(height * scale))
    given = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    began_s = time.process_time()
    found = detector.detect(given)
    return [(face.box[2] - face.box[0]) / scale for face in found], time.process_time() - began_s


def detect_one(detector: FaceDetector, picture: Picture) -> Face | None:
    """Return the best face in a picture, in its pixels; None where there is none."""
    width, height = picture.width_px, picture.height_px
    scale = min(1.0, detector.side_px / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    found = detector.detect(picture.rgb((0.0, 0.0, float(width), float(height)), size))
    return found[0].scaled(width / size[0]) if found else None


def detectors(chosen: dict[str, FaceDetector], mosi: list[Path]) -> None:
    """Print how often each detector finds what is in pictures with none, one and two faces, and small ones."""
    print("detector          clips≥1  no_face>0  two=2  mosi≥1  mosi>1  48px  40px  32px  ms")
    with_face = [
        path
        for path in sorted((DATA / "clips").iterdir())
        if path.stem not in ("no_face", "face_noface", "noface_face", "short_hamilton_clip")
    ]
    groups = {
        "clips": [one for path in with_face for one in pictures(path, 15)[0]],
        "none": pictures(DATA / "clips" / "no_face.mp4", 3)[0],
        "two": [one for path in sorted((DATA / "two_faces").glob("*.mp4")) for one in pictures(path, 20)[0]],
        "mosi": [one for path in mosi for one in pictures(path, 30)[0]],
    }
    reference = next(iter(chosen.values()))
    for name, detector in chosen.items():
        counts, spent = {}, []
        for group, images in groups.items():
            found = [detect(detector, one) for one in images]
            counts[group] = np.array([len(sides) for sides, _ in found])
            spent += [seconds for _, seconds in found]
        shares = []
        for wanted_px in (48, 40, 32):  # of a picture 640 px long
            hits = []
            for one in groups["mosi"][::2]:
                sides, _ = detect(reference, one)
                if sides:
                    share = wanted_px * max(one.width_px, one.height_px) / 640 / max(sides)
                    hits.append(len(detect(detector, one, share)[0]) > 0 if share < 1 else True)
            shares.append(np.mean(hits))
        print(
            f"{name:<16} {np.mean(counts['clips'] > 0):8.3f} {np.mean(counts['none'] > 0):9.3f} "
            f"{np.mean(counts['two'] == 2):7.3f} {np.mean(counts['mosi'] > 0):7.3f} "
            f"{np.mean(counts['mosi'] > 1):7.3f} {shares[0]:6.2f} {shares[1]:5.2f} {shares[2]:5.2f} "
            f"{1000 * np.mean(spent):5.1f}",
            flush=True,
        )


def crops_of(
    path: Path, method: FaceMethod, plan: WindowPlan = PLAN, region: Region = "speaker"
) -> tuple[Crops, Clip]:
    """Return a clip's crops of one region, and the clip."""
    reading = FaceReading(method, plan, Sampling(), 112)
    clip = read_clip(path, plan=plan, sampling=Sampling(), settings=SETTINGS, watch=reading.watch)
    return reading.crops(clip, {region})[region], clip


def seconds(
    path: Path, method: FaceMethod, active: list[tuple[float, float, str]]
) -> Iterator[tuple[str, str, float]]:
    """Yield for each second of speech with one speaker: the truth, what is chosen, and the margin."""
    crops, clip = crops_of(path, method, SECOND)
    assert clip.audio is not None
    voice = voiced(levels_db(clip.audio, int(clip.duration_s * TICKS_PER_S)))
    for window, start_s in enumerate(clip.starts_s):
        truths = {
            side for first_s, last_s, side in active if min(last_s, start_s + 1) - max(first_s, start_s) > 0.25
        }
        first_tick = int(start_s * TICKS_PER_S)
        if len(truths) != 1 or voice[first_tick : first_tick + TICKS_PER_S].sum() < 8:
            continue
        box = crops.faces.box[window]
        side = "none" if np.isnan(box[0]) else "left" if box[0] + box[2] < 1 else "right"
        yield truths.pop(), side, float(crops.faces.margin[window])


def tell(name: str, rows: list[tuple[str, str, float]]) -> None:
    """Print how many of some seconds are undecided, and how many of the others are right."""
    right = sum(truth == found for truth, found, _ in rows)
    undecided = sum(found == "none" for _, found, _ in rows)
    decided = len(rows) - undecided
    print(
        f"{name:<34} {len(rows):3} seconds: {undecided:2} undecided, {right} of {decided} decided are right"
        f" ({right / max(decided, 1):.2f}), {right / max(len(rows), 1):.2f} of all",
        flush=True,
    )


def speakers(detector: FaceDetector, scorers: dict[str, SpeakerScorer]) -> None:
    """Print how often each scorer is right on the clips of two faces whose truth lies beside them."""
    truth: dict[str, list[tuple[float, float, str]]] = {}
    with open(DATA / "two_faces" / "truth.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            span = float(row["start_s"]), float(row["end_s"]), row["active"]
            truth.setdefault(row["path"], []).append(span)
    for name, scorer in scorers.items():
        for margin in (None, 0.0):
            method = FaceMethod(detector, scorer, margin)
            rows: dict[str, list[tuple[str, str, float]]] = {"still": [], "both": []}
            for path, active in truth.items():
                rows["still" if "still" in path else "both"] += seconds(DATA / "two_faces" / path, method, active)
            for kind, found in rows.items():
                tell(f"{name} {kind}, margin {method.least_margin:g}", found)


def composites(
    detector: FaceDetector, scorers: dict[str, SpeakerScorer], pairs: Sequence[tuple[str, str, str]]
) -> None:
    """Print how often each scorer is right on pairs of clips that are put side by side, by kind."""
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for number, (left, right, kind) in enumerate(pairs):
            out = Path(folder) / f"{number}.mp4"
            made.append((kind, out, composite(DATA / left, DATA / right, kind, out)))
        for name, scorer in scorers.items():
            rows: dict[str, list[tuple[str, str, float]]] = {}
            for kind, path, active in made:
                rows.setdefault(kind, []).extend(seconds(path, FaceMethod(detector, scorer), active))
            for kind, found in rows.items():
                tell(f"{name} own {kind}", found)


def mosi_windows(detector: FaceDetector, scorer: SpeakerScorer, mosi: list[Path]) -> None:
    """Print how many windows show a face, how steady boxes are, and at what shift mouths follow the sound."""
    states, jitter, lags = [], [], []
    for path in mosi:
        crops, clip = crops_of(path, FaceMethod(detector, scorer))
        states.append(crops.faces.state)
        for one in clip.watcher.seen():  # type: ignore[union-attr]
            times_s = np.arange(one.track.start_s, one.track.end_s, 0.04)
            places = [one.track.place(time_s) for time_s in times_s]
            centres = np.array([place.centre for place in places if place is not None])
            side = np.median([place.side for place in places if place is not None])
            if len(centres) > 10:
                jitter.append(np.abs(np.diff(centres, 2, axis=0)).mean() / side)
        lags += lag_curve(clip)
    state = np.concatenate(states)
    print(
        f"{len(mosi)} clips, {len(state)} windows: {np.isin(state, CHOSEN).mean():.4f} show a face, "
        f"{(state == NO_FACE).mean():.4f} have none; jitter (second difference of the centre) "
        f"{np.median(jitter):.4f} sides"
    )
    curve = np.mean(lags, axis=0)
    shifts = (np.arange(len(curve)) - len(curve) // 2) * 0.04
    print(
        "mouth's motion against level:",
        {round(float(s), 2): round(float(c), 3) for s, c in zip(shifts, curve, strict=True)},
    )
    print(f"peak at {shifts[curve.argmax()]:+.2f} s")


def lag_curve(clip: Clip) -> list[NDArray[np.float64]]:
    """Return the correlation of motion and level at -10 to 10 ticks for the longest track; nothing without one."""
    from dualstream.features.faces.scorers.sync import _motion

    seen = [one for one in clip.watcher.seen() if len(one.grey) > 50]  # type: ignore[union-attr]
    if not seen or clip.audio is None:
        return []
    one = max(seen, key=lambda track: len(track.grey))
    motion = _motion(np.stack(one.grey))
    level = levels_db(clip.audio[one.first_tick * TICK :], len(motion))
    curve = []
    for lag in range(-10, 11):
        m = motion[max(0, lag) : len(motion) + min(0, lag)]
        a = level[max(0, -lag) : len(level) + min(0, -lag)]
        curve.append(np.corrcoef(m, a)[0, 1])
    return [np.nan_to_num(np.array(curve))]


def enlarged(path: Path, box: tuple[float, float, float, float], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the first six seconds of a part of a clip, made larger."""
    shown, _ = pictures(path, 1)
    return np.stack([one.rgb(box, size) for one in shown[: COST_S * TICKS_PER_S]])


def cost(detectors_: dict[str, FaceDetector], scorers: dict[str, SpeakerScorer], rounds: int = 5) -> None:
    """Say what a second of 720p video costs: talking faces, enlarged, coded by x264; the least of some rounds.

    Beside each row: what it is beyond decoding all pictures, and MELD's clips on 16 cores.
    """
    clips = [DATA / "clips" / f"WDA_{name}_000.mp4" for name in ("KatieHill", "AlexandriaOcasioCortez")]
    sounds = [pictures(path, 1)[1].audio for path in clips]
    one, two = sounds
    assert one is not None and two is not None
    half = COST_S * SAMPLE_RATE_HZ // 2
    with tempfile.TemporaryDirectory() as folder:
        alone, both = Path(folder) / "one.mp4", Path(folder) / "two.mp4"
        wide = enlarged(clips[0], (0, 112, 512, 400), (1280, 720))
        write_clip(alone, wide, TICKS_PER_S, one[: 2 * half], SAMPLE_RATE_HZ)
        beside = np.concatenate([enlarged(path, (112, 0, 400, 324), (640, 720)) for path in clips], axis=2)
        turns = np.concatenate([one[:half], two[half : 2 * half]])  # so that voices are split
        write_clip(both, beside, TICKS_PER_S, turns, SAMPLE_RATE_HZ)
        first = next(iter(detectors_.values()))
        acts: dict[str, Any] = {}
        for name, path in (("one face", alone), ("two faces", both)):
            acts[f"{name}: frame, windows' frames only"] = partial(_decoded, path, None)
            acts[f"{name}: {ALL}"] = partial(_decoded, path, lambda _: Collector(10**9))
            for detector in detectors_ if path == alone else [next(iter(detectors_))]:
                method = FaceMethod(detectors_[detector])
                acts[f"{name}: face, {detector}"] = partial(crops_of, path, method, region="face")
            for scorer in scorers:
                acts[f"{name}: speaker, {scorer}"] = partial(crops_of, path, FaceMethod(first, scorers[scorer]))
        spent = {name: min(_cpu_s_of(act) for _ in range(rounds)) / COST_S for name, act in acts.items()}
    for name, seconds_ in spent.items():
        extra = seconds_ - spent[f"{name.partition(':')[0]}: {ALL}"]
        minutes = seconds_ * MELD_H * 60 / 16
        print(f"{name:<48} {seconds_:.3f} CPU s a second, {extra:+.3f} over decoding, {minutes:4.1f} min for MELD")


def _decoded(path: Path, watch: Any) -> None:
    read_clip(path, plan=PLAN, sampling=Sampling(), settings=SETTINGS, watch=watch)


def _cpu_s_of(act: Any) -> float:
    before = cpu_s()
    act()
    return cpu_s() - before


def main() -> None:
    """Measure the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blazeface", type=Path, action="append", default=[])
    parser.add_argument("--yunet", type=Path, action="append", default=[])
    parser.add_argument("--lr-asd", type=Path)
    parser.add_argument("--mtcnn", action="store_true")
    parser.add_argument("--each", type=int, default=8, help="each so many of MOSI's clips")
    parser.add_argument("parts", nargs="+")
    given = parser.parse_args()
    chosen = {path.stem[:16]: build_detector("blazeface", path) for path in given.blazeface}
    chosen |= {path.stem: build_detector("yunet", path) for path in given.yunet}
    if given.mtcnn:
        chosen["mtcnn"] = build_detector("mtcnn", None)
    scorers: dict[str, SpeakerScorer] = {"sync": build_scorer("sync", None)}
    if given.lr_asd:
        scorers["lr-asd"] = build_scorer("lr-asd", given.lr_asd)
    mosi = sorted((DATA / "mosi" / "clips").glob("*.mp4"))[:: given.each]
    first = next(iter(chosen.values()))
    acts = {
        "detectors": lambda: detectors(chosen, mosi),
        "speakers": lambda: speakers(first, scorers),
        "composites": lambda: composites(first, scorers, SEEN_BEFORE),
        "held-out": lambda: composites(first, scorers, HELD_OUT),
        "mosi": lambda: mosi_windows(first, scorers["sync"], mosi),
        "cost": lambda: cost(chosen, scorers),
    }
    for part in given.parts:
        acts[part]()


if __name__ == "__main__":
    main()
