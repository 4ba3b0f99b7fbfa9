"""The head of a model card that Hugging Face's Hub reads: tags, and scores by split, as YAML.

Fields: https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from dualstream.pipeline.bundles.manifest import BundleManifest
from dualstream.pipeline.experiments.run_config import RunConfig
from dualstream.pipeline.experiments.scores import SplitScores

METRIC_TYPES = {
    "balanced_accuracy": ("recall", "UAR"),
    "accuracy": ("accuracy", "accuracy"),
    "weighted_f1": ("f1", "weighted F1"),
    "macro_f1": ("f1", "macro F1"),
}
"""By our names: the Hub's type, and the name that is shown."""
PIPELINE_TAGS = {"video": "video-classification", "audio": "audio-classification"}
TAGS = ("emotion-recognition", "sentiment-analysis", "multimodal", "dualstream")


def front_matter(manifest: BundleManifest, config: RunConfig, scored: Sequence[SplitScores]) -> list[str]:
    """Return the lines; every value is JSON, which YAML takes as it is, whatever its characters."""
    tag = next((PIPELINE_TAGS[name] for name in PIPELINE_TAGS if name in manifest.streams), "other")
    results = [result for scores in scored for result in _results(config.cache.name, scores)]
    entries = {
        "library_name": "dualstream",
        "license": "other",
        "license_name": "see-the-licences-in-this-card",
        "pipeline_tag": tag,
        "tags": [*TAGS, *(["onnx"] if manifest.onnx else [])],
        "metrics": sorted({kind for kind, _ in METRIC_TYPES.values()}),
        "model-index": [{"name": manifest.variant, "results": results}],
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=True, allow_nan=False)}" for key, value in entries.items()]
    return ["---", *lines, "---", ""]


def _results(cache: str, scores: SplitScores) -> Iterator[dict[str, object]]:
    for task, one in scores.tasks.items():
        named = ((one.metric(key), *names) for key, names in METRIC_TYPES.items())
        found = [
            {"type": kind, "name": name, "value": round(value.mean, 4)} for value, kind, name in named if value
        ]
        yield {
            "task": {"type": f"{task}-recognition", "name": f"{task} of an utterance"},
            "dataset": {"name": cache, "type": cache, "split": scores.split},
            "metrics": found,
        }
