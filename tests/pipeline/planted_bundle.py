"""Bundles in memory, of models that were fitted on planted features: they have no way from a clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.data.speaker_prior import SpeakerPrior
from dualstream.heads.variants.contract import Trained
from dualstream.pipeline.bundles.folder import Bundle
from dualstream.pipeline.bundles.manifest import BundleManifest, BundleStream, Calibration
from dualstream.pipeline.experiments.run_config import FittedOn


def bundle_of(
    features: FeatureSet,
    name: str,
    models: Sequence[Trained],
    reads: Iterable[str],
    speaker_prior: SpeakerPrior | None = None,
) -> Bundle:
    """Return a bundle of a variant that reads these streams of `features`, with a calibration for each task."""
    specs = {
        stream: {
            "name": "none",
            "stream": stream.partition(".")[0],
            "width": features.streams[stream].width,
            "has_windows": True,
        }
        for stream in reads
    }
    manifest = BundleManifest(
        variant=name,
        streams={s: BundleStream(s, spec, projection=None, carried=None) for s, spec in specs.items()},
        recipe={},
        recipe_sections={},
        fingerprint="",
        vocabulary={"emotion": features.emotion_names, "sentiment": features.sentiment_names},
        calibration={"emotion": Calibration(1.3, "dev", 20), "sentiment": Calibration(0.7, "dev", 20)},
        joint_pairs=None,
        fitted_on=FittedOn(60, "", {}, ()),
        created_with={},
    )
    return Bundle(manifest, tuple(models), speaker_prior=speaker_prior)
