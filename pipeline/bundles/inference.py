"""The road that a clip takes: a bundle's encoders built again and checked, then features to answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.device import number_of_gpu
from dualstream.features.encode import ClipPlan
from dualstream.features.encoder import (
    Encoder,
    EncoderEntry,
    EncoderOptions,
    SpecDocument,
    StreamFeatures,
    VideoEncoder,
    build,
    find,
)
from dualstream.features.faces.region import FaceMethod, RegionEncoder, method_as_stated, weights_in
from dualstream.features.media import DecodeSettings, MediaError, find_ffmpeg, read_clip, version_of
from dualstream.features.media.pyav import decoder_at_hand
from dualstream.features.media.settings import ALIKE
from dualstream.features.projection import Projection
from dualstream.features.single_read import digest_of_file
from dualstream.features.weights import WeightsDocument
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.heads.data.batch import UNLABELLED, FeatureSet, StreamArrays
from dualstream.heads.data.speaker_prior import SpeakerScales
from dualstream.heads.variants.decode import decode, joint_decode
from dualstream.heads.variants.ensemble import ensemble
from dualstream.heads.variants.registry import TASKS, Prediction, Task
from dualstream.pipeline.bundles.folder import Bundle
from dualstream.pipeline.bundles.manifest import BundleStream
from dualstream.pipeline.errors import DualstreamError, FingerprintMismatchError, UsageError
from dualstream.pipeline.extraction.encoder_choice import is_network
from dualstream.pipeline.extraction.recipe import Recipe
from dualstream.pipeline.provenance import Environment, canonical_json, differences, listed
from numpy.typing import NDArray

from dualstream.documents import JsonObject

LOG_ZERO = -1e4  # a log-probability below this is as good as none, and stays a number


@dataclass(frozen=True, repr=False)
class Features:
    """Streams of N utterances after projection, by head stream; what a head reads."""

    starts_s: list[NDArray[np.float64]]
    """Of each utterance's windows, shape (K,) each."""
    streams: dict[str, list[StreamFeatures]]

    def feature_set(
        self,
        bundle: Bundle,
        dialogue: NDArray[np.int64],
        turn: NDArray[np.int64],
        speaker: NDArray[np.int64] | None = None,
    ) -> FeatureSet:
        """Return them as heads take them, before speakers are normalised; nothing is labelled."""
        count = len(self.starts_s)
        blank = np.full(count, UNLABELLED, dtype=np.int64)
        streams = {}
        for name, rows in self.streams.items():
            windowed = bool(bundle.streams[name].spec["has_windows"])
            streams[name] = StreamArrays(
                utterance=np.stack([one.utterance for one in rows]),
                present=np.array([one.present for one in rows], dtype=np.bool_),
                windows=np.concatenate([one.windows for one in rows]) if windowed else None,
                window_present=np.concatenate([one.window_present for one in rows]) if windowed else None,
            )
        lengths = [len(starts) for starts in self.starts_s]
        return FeatureSet(
            streams=streams,
            offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            start_s=np.concatenate(self.starts_s),
            emotion=blank,
            sentiment=blank,
            emotion_names=tuple(bundle.vocabulary["emotion"]),
            sentiment_names=tuple(bundle.vocabulary["sentiment"]),
            dialogue=dialogue,
            turn=turn,
            speaker=blank if speaker is None else speaker,
        )


@dataclass(frozen=True, repr=False)
class Answers:
    """What a bundle says of N utterances."""

    seeds: tuple[Prediction, ...]
    """Of each model as it is, log-probabilities (N, C): what the run's predictions hold."""
    plain: Prediction
    """Log of the models' mean probabilities."""
    calibrated: dict[Task, NDArray[np.float64]]
    """Probabilities (N, C) after calibration."""
    codes: dict[Task, NDArray[np.int64]]
    """Class codes that are answered, shape (N,)."""
    scales: SpeakerScales | None = None
    """By which each speaker's rows were normalised; None where heads read rows as they are."""


def make_plan(
    bundle: Bundle, *, weights: Sequence[Path] = (), device: str = "cpu", ffmpeg: Path | None = None
) -> tuple[ClipPlan, list[str]]:
    """Build the bundle's encoders again, and check that they are the same.

    Parameters
    ----------
    weights
        Files of encoder weights; which encoder each belongs to follows from its digest.
    device
        ``cpu``, ``cuda`` or ``cuda:N``.
    ffmpeg
        The binary; None: as `find_ffmpeg` finds it.

    Returns
    -------
    The plan, and what a person should know of it: another decoder, another kind of device.

    Raises
    ------
    FingerprintMismatchError
        Where an encoder, its settings, its version or its weights are not those of the bundle; or a file of
        weights is of none of its encoders.
    UsageError
        Where weights have to be named and are not.
    """
    recipe, stated = bundle.recipe, bundle.recipe["decode"]
    if stated is None:
        raise UsageError(
            "the heads of this bundle read ready-made tables: no clip becomes rows of them; `predict --table "
            "STREAM=FILE` answers for new tables"
        )
    encoders = _encoders(bundle, weights, device)
    try:
        windows = WindowPlan(**recipe["windows"])
        sampling, (decode, notes) = Sampling.parse(recipe["sampling"]), _decode_settings(stated)
        decode = replace(decode, decoder=decoder_at_hand(decode.decoder, number_of_gpu(device)))
        binary = find_ffmpeg(str(ffmpeg) if ffmpeg else None)
        version = version_of(decode, binary)
    except MediaError as error:
        raise (DualstreamError if ffmpeg is None else UsageError)(str(error)) from error
    if version != recipe["decoder"]:
        notes.append(f"features were made with {recipe['decoder']}, here it is {version}: last digits may differ")
    networks = any(is_network(one.spec["stream"], one.spec["name"]) for one in bundle.streams.values())
    if networks and device.partition(":")[0] != recipe["device"]:
        notes.append(f"features were made on {recipe['device']}, here on {device}: last digits may differ")
    if any(isinstance(one, RegionEncoder) and one.method.identity is not None for one in encoders.values()):
        notes.append(
            "features were made with --identity, which uses speaker names: here there are none, the sound alone "
            "decides whose face is shown, and more windows are masked"
        )
    reader = partial(read_clip, ffmpeg=str(binary))
    return ClipPlan(encoders, windows, sampling, decode, reader, recipe.get("scramble_s")), notes


def recipe_of(bundle: Bundle, plan: ClipPlan) -> Recipe:
    """Return the bundle's recipe with the encoders that were built for it."""
    specs = {name: one.spec for name, one in bundle.streams.items()}
    return Recipe(bundle.recipe, specs, lambda: plan, Environment)


def projected(rows: Sequence[StreamFeatures], projection: Projection | None) -> list[StreamFeatures]:
    """Bring raw rows of one stream through its projection; masked rows stay zeros."""
    if projection is None:
        return list(rows)
    done = []
    for one in rows:
        out = projection.transform(np.concatenate([one.utterance[None], one.windows]))
        utterance = out[0] if one.present else np.zeros_like(out[0])
        windows = np.where(one.window_present[:, None], out[1:], np.float32(0))
        done.append(replace(one, utterance=utterance, windows=windows))
    return done


def answer(bundle: Bundle, features: FeatureSet, scales: SpeakerScales | None = None) -> Answers:
    """Normalise speakers where the heads want it, ask every model, average, calibrate, and decide.

    The answers are decided before calibration, which orders a task's classes no other way. Speakers are
    normalised by the utterances of `features`, or by `scales` where other utterances say what a speaker is like.
    """
    if bundle.speaker_prior is not None:
        scales = scales or bundle.speaker_prior.scales(features)
        features = scales.normalise(features)
    seeds = tuple(model.predict(features) for model in bundle.models)
    plain = ensemble([_floored(one) for one in seeds])
    calibrated, codes = {}, {}
    own_answers = dict(zip(TASKS, decode(plain), strict=True))
    joint = None if bundle.pairs is None else dict(zip(TASKS, joint_decode(plain, bundle.pairs), strict=True))
    for task, how in bundle.calibration.items():
        log_p = plain.task(task)
        own = own_answers[task]
        assert log_p is not None and own is not None, f"the models of {bundle.variant} lack {task}"
        calibrated[task] = sharpened(log_p, how.sharpness)
        codes[task] = own if joint is None else joint[task]
    return Answers(seeds, plain, calibrated, codes, scales)


def sharpened(log_p: NDArray[np.float64], sharpness: float) -> NDArray[np.float64]:
    """Return probabilities (N, C) of log-probabilities times `sharpness`."""
    scaled = sharpness * log_p
    p = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def _floored(prediction: Prediction) -> Prediction:
    emotion, sentiment = (
        None if one is None else np.maximum(one, LOG_ZERO) for one in map(prediction.task, TASKS)
    )
    return Prediction(emotion, sentiment, prediction.pairs, prediction.sentiment_leads)


def _decode_settings(stated: Mapping[str, Any]) -> tuple[DecodeSettings, list[str]]:
    """Return the recipe's settings and what to know of them; refuse those that this program reads otherwise.

    Clips that an older way reads alike are most: where only some differ, that is said.
    """
    known = {field.name for field in fields(DecodeSettings)}
    settings = DecodeSettings(**{key: value for key, value in stated.items() if key in known})
    ours = settings.to_json()
    notes = []
    if stated.get("reading") in ALIKE.get(ours["reading"], ()):
        stated = {**stated, "reading": ours["reading"]}
        notes.append(
            "features were made by an older way of reading clips: spans of files without an index (MPEG), and "
            "sound whose channels cancel or whose centre is silent beside the others, are read otherwise here"
        )
    wrong = differences(ours, stated)
    if wrong:
        raise FingerprintMismatchError(
            f"this program reads clips in another way than the bundle's were read: decode.{listed(wrong)} "
            "(there: in the bundle); use the version of dualstream that made it, or extract and fit again"
        )
    return settings, notes


def _encoders(bundle: Bundle, weights: Sequence[Path], device: str) -> dict[str, Encoder]:
    for path in weights:
        if not path.exists():
            raise UsageError(f"--weights {path}: there is no such file")
    used: set[Path] = set()
    methods: dict[str, FaceMethod] = {}
    encoders = {}
    for name, one in bundle.streams.items():
        spec = one.spec
        text, source, expected = _source(bundle, name, one, weights, used)
        context = spec["parameters"].get("context", EncoderOptions.context)
        try:
            encoder = build(
                spec["stream"], text, EncoderOptions(source, device, bundle.recipe["precision"], context)
            )
        except (ValueError, OSError) as error:
            raise DualstreamError(f"the {name} encoder {spec['name']} can't be built: {error}") from error
        if "region" in spec["parameters"]:
            assert isinstance(encoder, VideoEncoder)
            encoder = _by_region(name, encoder, spec["parameters"]["region"], weights, used, methods)
        _check_encoder(name, spec, encoder.spec.to_json(), expected)
        encoders[name] = encoder
    strangers = [str(path) for path in weights if path not in used]
    if strangers:
        raise FingerprintMismatchError(
            f"--weights {', '.join(strangers)}: of none of the bundle's encoders, which have the weights "
            + "; ".join(_told(name, one.spec) for name, one in bundle.streams.items())
        )
    return encoders


def _by_region(
    name: str,
    encoder: VideoEncoder,
    stated: Mapping[str, Any],
    given: Sequence[Path],
    used: set[Path],
    methods: dict[str, FaceMethod],
) -> Encoder:
    """Return an encoder of crops, its detector and scorer built from the files of their digests."""
    files: dict[str, Path] = {}
    for part, record in weights_in(stated).items():
        digest = str(record["sha256"])
        path = next((path for path in given if _digest(None, path) == digest), None)
        if path is None:
            raise UsageError(
                f"the {name} encoder sees {stated['name']} regions: the weights of its {part} "
                f"{stated[part]['name']}, sha256 {digest[:16]}…, are not in the bundle; "
                "name that file: --weights FILE"
            )
        used.add(path)
        files[part] = path
    parts = ("detector", "scorer", "least_margin", "least_alone", "identity")
    key = canonical_json({part: stated.get(part) for part in parts})
    try:
        method = methods.setdefault(key, method_as_stated(stated, files)) if key not in methods else methods[key]
    except (ValueError, OSError) as error:
        raise DualstreamError(f"the {name} encoder's faces can't be found: {error}") from error
    return RegionEncoder(encoder, stated["name"], method)


def _source(
    bundle: Bundle, name: str, one: BundleStream, given: Sequence[Path], used: set[Path]
) -> tuple[str, str | None, str | None]:
    """Return an encoder and its weights' source, as `build` takes them, and the digest that they must have."""
    spec = one.spec
    text, wanted = str(spec["name"]), spec["weights"]
    if wanted is None:
        return text, None, None
    digest = str(wanted["sha256"])
    entry = find(spec["stream"], text)
    for path in given:
        if _digest(entry, path) == digest:
            used.add(path)
            if entry is not None and entry.folder:
                return _in_folder(text, path), None, digest
            return text, str(path), digest
    carried = bundle.weights_file(name)
    if carried is not None and one.carried is not None:
        return text, str(carried), one.carried.sha256
    kind = str(wanted["source"])
    if kind.startswith("random:"):
        return text, kind, digest
    if kind.startswith("imagenet"):
        return text, "imagenet", digest
    if given:
        raise FingerprintMismatchError(
            f"the {name} encoder has other weights than those that were named: {_told(name, spec)}; "
            f"found {', '.join(f'{path} ({_digest(entry, path)[:16]}…)' for path in given)}"
        )
    folder = entry is not None and entry.folder
    raise UsageError(
        f"the bundle does not carry the weights of its encoder: {_told(name, spec)}; "
        + ("name the model's folder: --weights FOLDER" if folder else "name that file: --weights FILE")
    )


def _digest(entry: EncoderEntry | None, path: Path) -> str:
    """Return the digest of what was named as weights, as the encoder's spec states it; empty where it is none."""
    try:
        return digest_of_file(path) if entry is None else entry.digest(path)
    except (ValueError, OSError):
        return ""


def _in_folder(text: str, path: Path) -> str:
    """Return an encoder's name with the folder that holds its weights here, and its settings behind ``@``."""
    kind, _, argument = text.partition(":")
    folder = path if path.is_dir() else path.parent
    name, at, settings = argument.rpartition("@")
    return f"{kind}:{folder}{at}{settings}" if name else f"{kind}:{folder}"


def _told(name: str, spec: SpecDocument) -> str:
    weights = spec["weights"]
    return f"{name} {spec['name']}" + (f", sha256 {weights['sha256'][:16]}…" if weights else ", no weights")


def _check_encoder(name: str, stated: SpecDocument, built: SpecDocument, digest: str | None) -> None:
    """Refuse an encoder that would give other numbers; where its weights lie does not matter."""
    found = (built["weights"] or WeightsDocument()).get("sha256")
    if found != digest:
        raise FingerprintMismatchError(
            f"the weights of the {name} encoder {stated['name']} have sha256 {found}; the bundle's have {digest}"
        )
    entry = find(stated["stream"], stated["name"])
    if entry is not None and entry.folder:  # whatever the folder is called here, its files have these digests
        built = {**built, "name": stated["name"]}
    if "layer_width" not in stated["parameters"]:  # earlier versions did not state it of pictures
        own = {key: value for key, value in built["parameters"].items() if key != "layer_width"}
        built = {**built, "parameters": own}
    wrong = differences(_settings(built), _settings(stated))
    if wrong:
        raise FingerprintMismatchError(
            f"the {name} encoder {stated['name']} of this program is not the bundle's: {listed(wrong)} (there: in "
            "the bundle); use the version of dualstream that made it, or extract and fit again"
        )


def _settings(spec: SpecDocument) -> JsonObject:
    kept = ("name", "stream", "raw_width", "version", "parameters", "has_windows")
    plain: JsonObject = json.loads(canonical_json({key: value for key, value in spec.items() if key in kept}))
    return plain
