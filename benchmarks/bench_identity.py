"""Measure whether embedders tell people apart, and what --identity decides, on clips of one speaker each.

    python benchmarks/bench_identity.py --blazeface FILE --face-api FILE [--lr-asd FILE] [--expression FILE]

First: MOSI's and other clips ($DUALSTREAM_DATA), how often two clips of one person are nearer than two of two
people (area under the curve). Then: composites of two of MOSI's people side by side, both mouths moving, one of
them heard and named as the speaker; a third of them is test. How many windows sound decides, and identity, and how
many are right.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from bench_face_pairs import who
from bench_faces import detect_one
from dualstream.features.encoder import EncoderOptions, build
from dualstream.features.faces.detection import FaceDetector, build_detector
from dualstream.features.faces.embedding import FaceEmbedder, aligned, build_embedder, unit_rows
from dualstream.features.faces.rows import BY_IDENTITY, BY_MARGIN, STATES, UNDECIDED
from dualstream.features.faces.scoring import SAMPLE_RATE_HZ, TICKS_PER_S
from dualstream.features.faces.voice import TICK
from dualstream.features.media import write_clip
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.corpus.manifest import Manifest, write_manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.extraction.recipe import ExtractionOptions
from dualstream.pipeline.extraction.request import RunOptions
from face_clips import COMPOSITE_PX, DATA, grid, pictures
from numpy.typing import NDArray

PICTURES, STEP = 4, 12  # of each clip
CROP_SHARE, CROP_DOWN = 1.5, -0.05  # as extraction crops faces


def people(detector: FaceDetector, embedder: FaceEmbedder, expression: Path | None, each: int) -> None:
    """Print how well each network tells people apart: clips of a person against clips of two."""
    paths = sorted((DATA / "mosi" / "clips").glob("*.mp4"))[::each]
    paths += [path for path in sorted((DATA / "clips").iterdir()) if path.suffix == ".mpg" or "WDA" in path.name]
    rows: dict[str, list[NDArray[np.float32]]] = {"face-api": []}
    net = build("video", "expression", EncoderOptions(str(expression))) if expression else None
    names = []
    for path in paths:
        faces, crops = [], []
        for one in pictures(path, STEP)[0][:PICTURES]:
            if (face := detect_one(detector, one)) is None:
                continue
            side = face.box[2] - face.box[0]
            faces.append(aligned(one, face.eyes, face.mouth, side, embedder.align))
            x, y, half = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2, CROP_SHARE * side / 2
            y += CROP_DOWN * side
            crops.append(one.rgb((x - half, y - half, x + half, y + half), (112, 112)))
        if faces:
            names.append(who(path))
            rows["face-api"].append(unit_rows(embedder.embed(np.stack(faces))).mean(axis=0))
            if net is not None:
                rows.setdefault("expression", []).append(
                    unit_rows(net.encode_frames(np.stack(crops))).mean(axis=0)
                )
    same = np.array(names)[:, None] == np.array(names)[None]
    pairs = np.triu_indices(len(names), 1)
    for name, found in rows.items():
        looks = unit_rows(np.stack(found))
        tell(name, (looks @ looks.T)[pairs], same[pairs], len(names), len(set(names)))


def tell(name: str, cosines: NDArray[np.float32], same: NDArray[np.bool_], clips: int, persons: int) -> None:
    """Print the area under the curve, and the cosines of both kinds of pairs."""
    from sklearn.metrics import roc_auc_score

    least, most = np.quantile(cosines[same], 0.05), np.quantile(cosines[~same], 0.95)
    print(
        f"{name}: {clips} clips of {persons} people: area under the curve {roc_auc_score(same, cosines):.4f}; "
        f"95 % of pairs of one person from {least:.3f} on, of two people up to {most:.3f}",
        flush=True,
    )


def corpus(folder: Path, count: int, seed: int = 3) -> tuple[Path, list[str]]:
    """Write composites and their manifest; return it, and the side of each one's speaker."""
    rng = np.random.default_rng(seed)
    by_person: dict[str, list[Path]] = {}
    for path in sorted((DATA / "mosi" / "clips").glob("*.mp4")):
        by_person.setdefault(who(path), []).append(path)
    persons, rows, sides = sorted(by_person), [], []
    for number in range(count):
        speaker = persons[number % len(persons)]
        other = str(rng.choice([one for one in persons if one != speaker]))
        (a, sound), (b, _) = (
            grid(by_person[one][int(rng.integers(len(by_person[one])))]) for one in (speaker, other)
        )
        ticks, side = min(len(a), len(b), len(sound) // TICK), int(rng.integers(2))
        pair = (a[:ticks], b[:ticks]) if side == 0 else (b[:ticks], a[:ticks])
        frames = np.concatenate(pair, axis=2)
        assert frames.shape[1:3] == (COMPOSITE_PX, 2 * COMPOSITE_PX)
        write_clip(folder / f"{number}.mp4", frames, TICKS_PER_S, sound[: ticks * TICK], SAMPLE_RATE_HZ)
        split = "test" if number // len(persons) % 3 == 2 else "train"
        rows.append(Utterance(f"u{number}", f"{number}.mp4", split, speaker=speaker, emotion="joy"))
        sides.append(("left", "right")[side])
    write_manifest(Manifest(tuple(rows)), folder / "m.csv")
    return folder / "m.csv", sides


def identity(options: ExtractionOptions, count: int) -> None:
    """Print how many windows sound decides, and identity, and how many of them are right."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest, sides = corpus(folder, count)
        run = RunOptions(projection="none")
        extract(manifest, root=folder, out=folder / "c.h5", options=options, run=run, notice=print)
        cache = read_cache(folder / "c.h5")
        faces = cache.streams["video"].faces
        assert faces is not None
        owner = np.repeat(np.arange(count), np.diff(cache.offsets))
        left = faces.box[:, 0] + faces.box[:, 2] < 1
        right = left == (np.array(sides) == "left")[owner]
        for split in ("train", "test"):
            inside = (np.array(cache.utterances.split) == split)[owner]
            counts = {state: int((inside & (faces.state == state)).sum()) for state in range(len(STATES))}
            said = [f"{counts[UNDECIDED]} undecided"]
            for state in (BY_MARGIN, BY_IDENTITY):
                good = int((right & inside & (faces.state == state)).sum())
                said.append(f"{STATES[state]} {good} of {counts[state]} right")
            print(f"{options.speaker_scorer}, {split}: {int(inside.sum())} windows: {'; '.join(said)}", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blazeface", type=Path, required=True)
    parser.add_argument("--face-api", type=Path, required=True)
    parser.add_argument("--lr-asd", type=Path)
    parser.add_argument("--expression", type=Path)
    parser.add_argument("--each", type=int, default=5, help="each so many of MOSI's clips")
    parser.add_argument("--count", type=int, default=48, help="composites")
    given = parser.parse_args()
    people(
        build_detector("blazeface", given.blazeface),
        build_embedder("face-api", given.face_api),
        given.expression,
        given.each,
    )
    scorers = {"sync": None, **({"lr-asd": given.lr_asd} if given.lr_asd else {})}
    for scorer, weights in scorers.items():
        identity(
            ExtractionOptions(
                video=("expression",) if given.expression else ("cnn5",),
                video_weights=(str(given.expression) if given.expression else "random:0",),
                audio=("none",),
                region=("speaker",),
                face_weights=given.blazeface,
                speaker_scorer=scorer,
                speaker_weights=weights,
                identity=True,
                identity_weights=given.face_api,
            ),
            given.count,
        )


if __name__ == "__main__":
    main()
