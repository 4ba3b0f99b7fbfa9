"""What heads over two streams are: a corpus, and a few numbers of what each variant makes of it.

`python -m tests.heads.two_streams` writes them to two_streams.json, which `test_two_streams.py` holds the program to.
The file was written before heads joined more than two streams.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import TASKS, FitOptions

FILE = Path(__file__).with_suffix(".json")
ROWS = 3  # utterances whose answers are kept
OPTIONS = FitOptions(seeds=(3,), epochs=2, hidden=8, patience=0, threads=1)
PARAMETERS: dict[str, dict[str, Any]] = {
    "auto": {"candidates": "linear_video,linear_audio,linear_late,linear"},
    "aligned": {"width": 8},
    **{name: {"width": 4} for name in ("crossmodal", "bottleneck", "dialogue:bottleneck")},
}
NAMES = (
    *("video", "audio", "concat", "concat_norm", "late", "gated", "lowrank", "tensor", "aligned", "crossmodal"),
    *("bottleneck", "dialogue", "dialogue:bottleneck", "linear_video", "linear_audio", "linear", "linear_late"),
    *("lda_late", "linear_lda_late", "auto"),
)


def corpus() -> FeatureSet:
    """Return 90 utterances of three classes, some without a stream; audio stands first."""
    rng = np.random.default_rng(11)
    count = 90
    label = rng.integers(0, 3, count)
    offsets = np.concatenate(([0], np.cumsum(rng.integers(1, 5, count)))).astype(np.int64)
    owner = np.repeat(np.arange(count), np.diff(offsets))
    streams = {}
    for name, width in (("audio", 4), ("video", 5)):
        present = rng.random(count) > 0.15
        seen = present[owner]
        windows = rng.normal(size=(3, width))[label[owner]] + 1.5 * rng.normal(size=(len(owner), width))
        windows = np.where(seen[:, None], windows, 0)
        rows = np.add.reduceat(windows, offsets[:-1]) / np.diff(offsets)[:, None]
        streams[name] = StreamArrays(rows.astype(np.float32), present, windows.astype(np.float32), seen)
    return FeatureSet(
        streams=streams,
        offsets=offsets,
        start_s=0.5 * (np.arange(len(owner)) - offsets[owner]),
        emotion=label,
        sentiment=np.minimum(label, 1),
        emotion_names=("a", "b", "c"),
        sentiment_names=("d", "e"),
        dialogue=np.arange(count, dtype=np.int64) // 5,
        turn=np.arange(count, dtype=np.int64),
        speaker=np.full(count, -1),
    )


def measured(name: str, features: FeatureSet) -> dict[str, Any]:
    """Return the shapes of a variant's arrays, the sums of their sizes, and its first answers."""
    options = FitOptions(**{**vars(OPTIONS), "parameters": PARAMETERS.get(name, {})})
    (model,) = registry.fit(name, features, None, options=options)
    arrays, _ = model.state()
    said = model.predict(features)
    return {
        "shapes": {key: list(array.shape) for key, array in sorted(arrays.items())},
        "sizes": {key: round(float(np.abs(array).sum()), 5) for key, array in sorted(arrays.items())},
        "answers": {task: np.round(said.task(task)[:ROWS], 5).tolist() for task in TASKS},  # type: ignore[index]
    }


if __name__ == "__main__":
    features = corpus()
    found = {name: measured(name, features) for name in NAMES}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in found.items())
    FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
