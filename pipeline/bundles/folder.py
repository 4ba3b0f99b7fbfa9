"""A bundle: all that a clip's answer rests on, in one folder; safetensors and JSON alone, nothing is a pickle.

    config.json               recipe, encoders, vocabularies, calibration, and a digest of every file below
    models.safetensors        the fitted heads, one per seed
    projections.safetensors   NAME/mean and NAME/components of each stream that is projected
    ranges.safetensors        what was usual in the rows that the heads were fitted on
    speaker_prior.safetensors what the training speakers showed, where the heads read speaker-normalised rows
    weights/NAME.safetensors  an encoder's weights, where they were copied in
    head.onnx                 the heads as one graph, where it was asked for
    MODEL_CARD.md             for people

docs/bundle.md says what each MUST and MAY hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.projection import Projection
from dualstream.features.single_read import digest_of_file, read_hashed
from dualstream.heads.data.speaker_prior import SpeakerPrior
from dualstream.heads.variants.registry import TASKS, Task, Trained
from dualstream.pipeline import experiments
from dualstream.pipeline.bundles.manifest import BundleManifest, BundleStream, Calibration
from dualstream.pipeline.errors import CorruptError, FingerprintMismatchError, NoCacheError
from dualstream.pipeline.experiments.ranges import RANGES, Ranges, ranges_of, write_ranges
from dualstream.pipeline.experiments.speaker_prior import SPEAKER_PRIOR, speaker_prior_of, write_speaker_prior
from dualstream.pipeline.memory import refuse_shortage
from dualstream.pipeline.provenance import RecipeDocument, digest_of, fingerprint
from dualstream.pipeline.storage.documents import read_json, unpack_safetensors, write_bytes, write_json
from numpy.typing import NDArray

BUNDLE_FORMAT, BUNDLE_VERSIONS = BundleManifest.FORMAT, (BundleManifest.VERSION, BundleManifest.SPEAKER_VERSION)
CONFIG, MODELS, PROJECTIONS, ONNX, CARD = (
    experiments.CONFIG, "models.safetensors", "projections.safetensors", "head.onnx", "MODEL_CARD.md",
)  # fmt: skip
WEIGHTS = "weights"
MAX_CONFIG_BYTES = 16 << 20


@dataclass(frozen=True, repr=False)
class Bundle:
    """A bundle in memory."""

    manifest: BundleManifest
    models: tuple[Trained, ...]
    projections: dict[str, Projection] = field(default_factory=dict)
    """By head stream (``video``, ``audio``), where there is one."""
    path: Path | None = None
    ranges: Ranges = field(default_factory=dict)
    """By head stream: what was usual in training; empty in bundles of an earlier time."""
    speaker_prior: SpeakerPrior | None = None
    """By which each speaker's rows are normalised; None: heads read rows as they are."""

    def __repr__(self) -> str:
        return f"Bundle({self.variant}, {len(self.models)} models, streams={list(self.streams)})"

    @property
    def variant(self) -> str:
        """The fusion variant, argument included."""
        return self.manifest.variant

    @property
    def streams(self) -> dict[str, BundleStream]:
        """By head stream."""
        return self.manifest.streams

    @property
    def recipe(self) -> RecipeDocument:
        """All that shaped the numbers: what the fingerprint is computed from."""
        return self.manifest.recipe

    @property
    def fingerprint(self) -> str:
        """Of the extraction that the heads were fitted on."""
        return self.manifest.fingerprint

    @property
    def vocabulary(self) -> dict[Task, tuple[str, ...]]:
        """Class names of each task, in code order."""
        return self.manifest.vocabulary

    @property
    def calibration(self) -> dict[Task, Calibration]:
        """Of each task that has a head."""
        return {task: self.manifest.calibration[task] for task in TASKS if task in self.manifest.calibration}

    @property
    def pairs(self) -> NDArray[np.bool_] | None:
        """Emotion and sentiment pairs that training showed, shape (E, S), where answers are decoded jointly."""
        return self.manifest.pairs

    def weights_file(self, stream: str) -> Path | None:
        """Return where a stream's weights lie inside the bundle; None where they were not copied in."""
        if self.path is None or self.streams[stream].carried is None:
            return None
        return self.path / WEIGHTS / f"{stream}.safetensors"


def write_bundle(folder: Path, bundle: Bundle, *, card: str) -> None:
    """Write a bundle into a folder that may hold ``weights/`` and ``head.onnx`` already."""
    from safetensors.numpy import save

    experiments.write_models(folder / MODELS, bundle.models)
    if bundle.projections:
        arrays: dict[str, NDArray[np.float32]] = {}
        for name, projection in bundle.projections.items():
            arrays |= {f"{name}/mean": projection.mean, f"{name}/components": projection.components}
        write_bytes(folder / PROJECTIONS, save({key: np.ascontiguousarray(a) for key, a in arrays.items()}))
    if bundle.ranges:
        write_ranges(folder, bundle.ranges)
    if bundle.speaker_prior is not None:
        write_speaker_prior(folder, bundle.speaker_prior)
    write_bytes(folder / CARD, card.encode())
    names = _file_names(bundle.manifest, ranges=bool(bundle.ranges), onnx=(folder / ONNX).exists())
    files = {name: digest_of_file(folder / name) for name in names}
    write_json(folder / CONFIG, replace(bundle.manifest, files=files).stamped())


def read_bundle(path: Path) -> Bundle:
    """Read a bundle and verify every file that an answer rests on.

    Raises
    ------
    NoCacheError
        Where there is no such folder, or it is no bundle.
    FingerprintMismatchError
        Where the plan, an encoder or a projection is not the one that the heads were fitted behind; which
        one is named.
    CorruptError
        Where anything else is damaged or missing.
    """
    if path.is_file():
        raise NoCacheError(f"{path} is a file; expected a bundle, a folder that `export` makes of a run")
    if not (path / CONFIG).is_file():
        raise NoCacheError(f"there is no bundle {path}: no {CONFIG} in it; `export` makes one of a run")
    if (path / CONFIG).stat().st_size > MAX_CONFIG_BYTES:
        raise CorruptError(f"{path / CONFIG} has more than {MAX_CONFIG_BYTES >> 20} MiB; a bundle's is small")
    document = read_json(path / CONFIG)
    if not isinstance(document, dict) or document.get("format") != BUNDLE_FORMAT:
        kind = document.get("format") if isinstance(document, dict) else None
        hint = "; `export` makes a bundle of a run" if kind == experiments.RUN_FORMAT else ""
        raise NoCacheError(f"{path} is not a bundle: its {CONFIG} says {str(kind)[:80]!r}{hint}")
    if document.get("version") not in BUNDLE_VERSIONS:
        known = " and ".join(map(str, BUNDLE_VERSIONS))
        raise CorruptError(f"{path} is a bundle of version {document.get('version')}; this program reads {known}")
    try:
        manifest = BundleManifest.from_json(document)
        _check_recipe(manifest, path)
        held = _checked_files(manifest, path)
        bundle = Bundle(
            manifest=manifest,
            models=tuple(experiments.models_of(held[MODELS], path / MODELS)),
            projections=_read_projections(manifest, path, held.get(PROJECTIONS)),
            path=path,
            ranges=_read_ranges(manifest, path, held),
            speaker_prior=_read_speaker_prior(manifest, path, held),
        )
        _check_models(bundle)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CorruptError(f"{path / CONFIG} is not what a bundle's config.json is: {error!r}") from error
    return bundle


def sections(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return a digest for each part of a recipe, so that what was changed can be named."""
    parts = {key: value for key, value in recipe.items() if key != "streams"}
    parts |= {f"streams.{name}": spec for name, spec in recipe["streams"].items()}
    return {key: digest_of(value) for key, value in parts.items()}


def _file_names(manifest: BundleManifest, *, ranges: bool, onnx: bool) -> list[str]:
    """Return the files whose digests a bundle states: all but the card, which people may add to."""
    names = [MODELS]
    if any(one.projection for one in manifest.streams.values()):
        names.append(PROJECTIONS)
    names += [f"{WEIGHTS}/{name}.safetensors" for name, one in manifest.streams.items() if one.carried]
    names += [RANGES] if ranges else []
    names += [SPEAKER_PRIOR] if manifest.speaker_norm is not None else []
    return [*names, ONNX] if onnx else names


def _check_recipe(manifest: BundleManifest, path: Path) -> None:
    """Refuse a plan or an encoder that was changed after the heads were fitted."""
    recipe, stated = manifest.recipe, manifest.recipe_sections
    found = sections(recipe)
    changed = sorted(key for key in {*found, *stated} if found.get(key) != stated.get(key))
    if changed:
        raise FingerprintMismatchError(
            f"{path}: {', '.join(changed)} in the extraction recipe {'is' if len(changed) == 1 else 'are'} not "
            "what the heads were fitted on; export the run again"
        )
    if fingerprint(recipe) != manifest.fingerprint:
        raise FingerprintMismatchError(
            f"{path}: the recipe's fingerprint is {fingerprint(recipe)[:16]}…, the bundle states "
            f"{manifest.fingerprint[:16]}…; export the run again"
        )
    for name, one in manifest.streams.items():
        own = recipe["streams"][one.name]
        if {key: value for key, value in one.spec.items() if key != "width"} != own:
            raise FingerprintMismatchError(
                f"{path}: the encoder of {name}, {one.spec['name']}, is not the one that the recipe names, "
                f"{own['name']}, with the same settings and weights; export the run again"
            )


def _checked_files(manifest: BundleManifest, path: Path) -> dict[str, bytes]:
    """Check the digest of every file, and return the bytes of those that are read here."""
    stated, held = manifest.files, {}
    names = _file_names(manifest, ranges=RANGES in stated, onnx=(path / ONNX).exists())
    for name in names:
        place = path / name
        if not place.is_file():
            raise CorruptError(f"{place} is missing; export the run again")
        if name in (MODELS, PROJECTIONS, RANGES, SPEAKER_PRIOR):
            held[name], found = read_hashed(place)
        else:  # weights are checked again as their encoder reads them, the graph is for others
            found = digest_of_file(place)
        if found == stated.get(name):
            continue
        told = f"its sha256 is {found[:16]}…, the bundle states {str(stated.get(name))[:16]}…"
        if name == PROJECTIONS or name.startswith(WEIGHTS):
            what = "projection" if name == PROJECTIONS else f"encoder weights ({place.stem})"
            raise FingerprintMismatchError(
                f"{place}: the {what} is not the one that the heads were fitted behind: {told}"
            )
        raise CorruptError(f"{place} was changed or damaged: {told}; export the run again")
    return held


def _read_projections(manifest: BundleManifest, path: Path, held: bytes | None) -> dict[str, Projection]:
    from safetensors import SafetensorError

    wanted = {name: one.projection for name, one in manifest.streams.items() if one.projection}
    found = {}
    if wanted and held is not None:
        try:
            arrays, _ = unpack_safetensors(held)
            for name, stated in wanted.items():
                mean, components = (arrays[f"{name}/{part}"] for part in ("mean", "components"))
                found[name] = Projection(stated.kind, mean, components, stated.fitted_on)
        except SafetensorError as error:
            refuse_shortage(error, f"while {path / PROJECTIONS} is read")
            raise CorruptError(f"{path / PROJECTIONS} can't be read: {error}") from error
    for name, one in manifest.streams.items():
        spec, projection = one.spec, found.get(name)
        shape = (spec["width"], spec["raw_width"])
        if projection is None and shape[0] != shape[1]:
            raise ValueError(f"stream {name} goes from {shape[1]} columns to {shape[0]} without a projection")
        if projection is not None and projection.components.shape != shape:
            raise ValueError(f"the projection of {name} has shape {projection.components.shape}; expected {shape}")
    return found


def _read_ranges(manifest: BundleManifest, path: Path, held: Mapping[str, bytes]) -> Ranges:
    if RANGES not in held:
        return {}
    widths = {name: int(one.spec["width"]) for name, one in manifest.streams.items()}
    return ranges_of(held[RANGES], path / RANGES, widths)


def _read_speaker_prior(manifest: BundleManifest, path: Path, held: Mapping[str, bytes]) -> SpeakerPrior | None:
    if SPEAKER_PRIOR not in held:
        return None
    prior = speaker_prior_of(held[SPEAKER_PRIOR], path / SPEAKER_PRIOR)
    for name, one in manifest.streams.items():
        moments = prior.utterance.get(name)
        if moments is None or moments.mean.shape != (one.spec["width"],):
            raise ValueError(f"the speakers' prior has no {name} stream of {one.spec['width']} columns")
    return prior


def _check_models(bundle: Bundle) -> None:
    if not bundle.models:
        raise ValueError("it holds no model")
    strangers = {model.variant for model in bundle.models} - {bundle.variant}
    if strangers:
        raise ValueError(f"models of {', '.join(sorted(strangers))} in a bundle of {bundle.variant}")
    pairs = bundle.pairs
    sizes = tuple(len(bundle.vocabulary[task]) for task in TASKS)
    if pairs is not None and pairs.shape != sizes:
        raise ValueError(f"joint_pairs has shape {pairs.shape}; expected {sizes}")
