"""A bundle: all that a clip's answer rests on, in one folder; safetensors and JSON alone, nothing is a pickle.

    config.json               recipe, encoders, vocabularies, calibration, and a digest of every file below
    models.safetensors        the fitted heads, one per seed
    projections.safetensors   NAME/mean and NAME/components of each stream that is projected
    ranges.safetensors        what was usual in the rows that the heads were fitted on
    weights/NAME.safetensors  an encoder's weights, where they were copied in
    head.onnx                 the heads as one graph, where it was asked for
    MODEL_CARD.md             for people

docs/bundle.md says what each MUST and MAY hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.projection import Projection
from dualstream.features.single_read import read_hashed
from dualstream.heads.variants.registry import TASKS, Task, Trained
from dualstream.pipeline import experiments
from dualstream.pipeline.errors import CorruptError, FingerprintMismatchError, NoCacheError
from dualstream.pipeline.experiments.ranges import RANGES, Ranges, ranges_of, write_ranges
from dualstream.pipeline.memory import refuse_shortage
from dualstream.pipeline.provenance import digest_file, digest_of, fingerprint
from dualstream.pipeline.storage.documents import read_json, unpack_safetensors, write_bytes, write_json
from numpy.typing import NDArray

BUNDLE_FORMAT = "dualstream bundle"
BUNDLE_VERSION = 1
CONFIG, MODELS, PROJECTIONS, ONNX, CARD = (
    experiments.CONFIG, "models.safetensors", "projections.safetensors", "head.onnx", "MODEL_CARD.md",
)  # fmt: skip
WEIGHTS = "weights"
MAX_CONFIG_BYTES = 16 << 20


@dataclass(frozen=True)
class Calibration:
    """How sure one task's answers may be: log-probabilities times `sharpness`, then normalised."""

    sharpness: float
    """Inverse temperature, 0 or more; 1 leaves all as it is."""
    split: str
    """What it was fitted on: ``dev``, or ``folds`` for out-of-fold answers."""
    utterances: int
    """Labelled ones; 0: nothing was fitted."""
    log_loss: tuple[float, float] | None = None
    """Before and after on those same utterances, nats."""


@dataclass(frozen=True, repr=False)
class Bundle:
    """A bundle in memory."""

    document: dict[str, Any]
    """config.json without ``format``, ``version`` and ``files``."""
    models: tuple[Trained, ...]
    projections: dict[str, Projection] = field(default_factory=dict)
    """By head stream (``video``, ``audio``), where there is one."""
    path: Path | None = None
    ranges: Ranges = field(default_factory=dict)
    """By head stream: what was usual in training; empty in bundles of an earlier time."""

    def __repr__(self) -> str:
        return f"Bundle({self.variant}, {len(self.models)} models, streams={list(self.streams)})"

    @property
    def variant(self) -> str:
        """The fusion variant, argument included."""
        return str(self.document["variant"])

    @property
    def streams(self) -> dict[str, dict[str, Any]]:
        """By head stream: ``{"name", "spec", "projection", "carried"}``; the width is that after projection."""
        return dict(self.document["streams"])

    @property
    def recipe(self) -> dict[str, Any]:
        """All that shaped the numbers: what the fingerprint is computed from."""
        return dict(self.document["recipe"])

    @property
    def fingerprint(self) -> str:
        """Of the extraction that the heads were fitted on."""
        return str(self.document["fingerprint"])

    @property
    def vocabulary(self) -> dict[str, list[str]]:
        """Class names of each task, in code order."""
        return dict(self.document["vocabulary"])

    @property
    def calibration(self) -> dict[Task, Calibration]:
        """Of each task that has a head."""
        found: dict[Task, Calibration] = {}
        for task in TASKS:
            if task in self.document["calibration"]:
                found[task] = Calibration(**self.document["calibration"][task])
        return found

    @property
    def pairs(self) -> NDArray[np.bool_] | None:
        """Emotion and sentiment pairs that training showed, shape (E, S), where answers are decoded jointly."""
        pairs = self.document["joint_pairs"]
        return None if pairs is None else np.array(pairs, dtype=np.bool_)

    def weights_file(self, stream: str) -> Path | None:
        """Return where a stream's weights lie inside the bundle; None where they were not copied in."""
        if self.path is None or self.streams[stream].get("carried") is None:
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
    write_bytes(folder / CARD, card.encode())
    files = {name: digest_file(folder / name) for name in _file_names(bundle.document, folder)}
    write_json(
        folder / CONFIG, {"format": BUNDLE_FORMAT, "version": BUNDLE_VERSION, **bundle.document, "files": files}
    )


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
    if not (path / CONFIG).is_file():
        raise NoCacheError(f"there is no bundle {path}: no {CONFIG} in it; `export` makes one of a run")
    if (path / CONFIG).stat().st_size > MAX_CONFIG_BYTES:
        raise CorruptError(f"{path / CONFIG} has more than {MAX_CONFIG_BYTES >> 20} MiB; a bundle's is small")
    document = read_json(path / CONFIG)
    if not isinstance(document, dict) or document.get("format") != BUNDLE_FORMAT:
        kind = document.get("format") if isinstance(document, dict) else None
        hint = "; `export` makes a bundle of a run" if kind == experiments.RUN_FORMAT else ""
        raise NoCacheError(f"{path} is not a bundle: its {CONFIG} says {str(kind)[:80]!r}{hint}")
    if document.get("version") != BUNDLE_VERSION:
        raise CorruptError(
            f"{path} is a bundle of version {document.get('version')}; this program reads {BUNDLE_VERSION}"
        )
    try:
        _check_shape(document)
        _check_recipe(document, path)
        held = _checked_files(document, path)
        bundle = Bundle(
            document={key: document[key] for key in document if key not in ("format", "version", "files")},
            models=tuple(experiments.models_of(held[MODELS], path / MODELS)),
            projections=_read_projections(document, path, held.get(PROJECTIONS)),
            path=path,
            ranges=_read_ranges(document, path, held),
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


def _file_names(document: Mapping[str, Any], folder: Path) -> list[str]:
    """Return the files whose digests a bundle states: all but the card, which people may add to."""
    names = [MODELS]
    if any(one["projection"] for one in document["streams"].values()):
        names.append(PROJECTIONS)
    names += [f"{WEIGHTS}/{name}.safetensors" for name, one in document["streams"].items() if one["carried"]]
    if RANGES in document.get("files", ()) or ("files" not in document and (folder / RANGES).exists()):
        names.append(RANGES)
    return [*names, ONNX] if (folder / ONNX).exists() else names


def _check_shape(document: Mapping[str, Any]) -> None:
    """Raise ValueError where config.json lacks something, or has it in another type."""
    kinds: dict[str, Any] = {
        "variant": str, "streams": dict, "recipe": dict, "recipe_sections": dict, "fingerprint": str,
        "vocabulary": dict, "calibration": dict, "files": dict, "created_with": dict,
    }  # fmt: skip
    for key, kind in kinds.items():
        if not isinstance(document[key], kind):
            raise ValueError(f"{key} is a {type(document[key]).__name__}; expected a {kind.__name__}")
    if not document["streams"] or not set(document["streams"]) <= {"video", "audio"}:
        raise ValueError(f"streams are {sorted(document['streams'])}; expected video, audio or both")
    for name, one in document["streams"].items():
        if one["spec"]["stream"] != name or not isinstance(one["spec"]["name"], str):
            raise ValueError(f"the encoder of {name} is one of {one['spec']['stream']}")
    for task in TASKS:
        names = document["vocabulary"][task]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"the classes of {task} are no list of names")
    for task, one in document["calibration"].items():
        sharpness = Calibration(**one).sharpness
        if task not in TASKS or isinstance(sharpness, bool) or not 0 <= float(sharpness) < 1e9:
            raise ValueError(f"the calibration of {task} has a sharpness of {sharpness}")


def _check_recipe(document: Mapping[str, Any], path: Path) -> None:
    """Refuse a plan or an encoder that was changed after the heads were fitted."""
    recipe, stated = document["recipe"], document["recipe_sections"]
    found = sections(recipe)
    changed = sorted(key for key in {*found, *stated} if found.get(key) != stated.get(key))
    if changed:
        raise FingerprintMismatchError(
            f"{path}: {', '.join(changed)} in the extraction recipe {'is' if len(changed) == 1 else 'are'} not "
            "what the heads were fitted on; export the run again"
        )
    if fingerprint(recipe) != document["fingerprint"]:
        raise FingerprintMismatchError(
            f"{path}: the recipe's fingerprint is {fingerprint(recipe)[:16]}…, the bundle states "
            f"{document['fingerprint'][:16]}…; export the run again"
        )
    for name, one in document["streams"].items():
        own = recipe["streams"][one["name"]]
        if {key: value for key, value in one["spec"].items() if key != "width"} != own:
            raise FingerprintMismatchError(
                f"{path}: the encoder of {name}, {one['spec']['name']}, is not the one that the recipe names, "
                f"{own['name']}, with the same settings and weights; export the run again"
            )


def _checked_files(document: Mapping[str, Any], path: Path) -> dict[str, bytes]:
    """Check the digest of every file, and return the bytes of those that are read here."""
    stated, held = document["files"], {}
    for name in _file_names(document, path):
        place = path / name
        if not place.is_file():
            raise CorruptError(f"{place} is missing; export the run again")
        if name in (MODELS, PROJECTIONS, RANGES):
            held[name], found = read_hashed(place)
        else:  # weights are checked again as their encoder reads them, the graph is for others
            found = digest_file(place)
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


def _read_projections(document: Mapping[str, Any], path: Path, held: bytes | None) -> dict[str, Projection]:
    from safetensors import SafetensorError

    wanted = {name: one["projection"] for name, one in document["streams"].items() if one["projection"]}
    found = {}
    if wanted and held is not None:
        try:
            arrays, _ = unpack_safetensors(held)
            for name, facts in wanted.items():
                mean, components = (arrays[f"{name}/{part}"] for part in ("mean", "components"))
                found[name] = Projection(facts["kind"], mean, components, facts["fitted_on"])
        except SafetensorError as error:
            refuse_shortage(error, f"while {path / PROJECTIONS} is read")
            raise CorruptError(f"{path / PROJECTIONS} can't be read: {error}") from error
    for name, one in document["streams"].items():
        spec, projection = one["spec"], found.get(name)
        shape = (spec["width"], spec["raw_width"])
        if projection is None and shape[0] != shape[1]:
            raise ValueError(f"stream {name} goes from {shape[1]} columns to {shape[0]} without a projection")
        if projection is not None and projection.components.shape != shape:
            raise ValueError(f"the projection of {name} has shape {projection.components.shape}; expected {shape}")
    return found


def _read_ranges(document: Mapping[str, Any], path: Path, held: Mapping[str, bytes]) -> Ranges:
    if RANGES not in held:
        return {}
    widths = {name: int(one["spec"]["width"]) for name, one in document["streams"].items()}
    return ranges_of(held[RANGES], path / RANGES, widths)


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
