"""hf: networks of transformers by their folder, ``hf:FOLDER`` or ``hf:FOLDER@LAYERS``; see docs/encoders.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dualstream.features.encoder import VIDEO_WIDTH, EncoderOptions, register
from dualstream.features.encoders.frozen import FrozenFrameEncoder, frame_encoder, usable_device
from dualstream.features.pretrained.folder import ModelFolder, Named, digest_of_folder, files_of

if TYPE_CHECKING:
    from dualstream.features.pretrained.sound import SpeechEncoder

PACKAGES = ("transformers",)


def names_emotions(spec: Mapping[str, Any]) -> bool:
    """Tell by a spec whether the model's configuration names emotions as its classes."""
    return bool((spec.get("parameters") or {}).get("emotion_labels"))


@register(
    "audio",
    "hf",
    network=True,
    folder=True,
    context=True,
    packages=PACKAGES,
    files=files_of,
    digest=digest_of_folder,
    learned_from_labels=names_emotions,
)
def build_hf_sound(argument: str, options: EncoderOptions) -> SpeechEncoder:
    """Build a speech network (wav2vec2, HuBERT, WavLM, data2vec, Whisper's encoder, …) from its folder.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, or it lacks a file.
    ValueError
        Where its network takes no sound, or has no such layers.
    """
    from dualstream.features.pretrained.sound import SpeechEncoder
    from dualstream.features.pretrained.speech import load_speech

    named = Named.parse(argument)
    folder = ModelFolder.find(named.path)
    with folder.unchanged():
        record, files = folder.record(), folder.settings()
        model = load_speech(named, folder, device=usable_device(options.device), precision=options.precision)
    return SpeechEncoder(
        model,
        name=f"hf:{named.name}",
        record=record,
        settings={"files": files, "emotion_labels": folder.emotion_labels()},
        options=options,
    )


@register(
    "video",
    "hf",
    network=True,
    folder=True,
    packages=PACKAGES,
    files=files_of,
    digest=digest_of_folder,
    learned_from_labels=names_emotions,
)
def build_hf_pictures(argument: str, options: EncoderOptions) -> FrozenFrameEncoder:
    """Build a picture network (ViT, DINOv2, CLIP, SigLIP, ConvNeXt, Swin, ResNet, …) from its folder.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, or it lacks a file.
    ValueError
        Where its network takes no pictures, or has no such layers.
    """
    from dualstream.features.pretrained.pictures import load_pictures

    named = Named.parse(argument)
    folder = ModelFolder.find(named.path)
    usable_device(options.device)
    with folder.unchanged():
        record, files = folder.record(), folder.settings()
        model, takes, reading = load_pictures(named, folder)
    each = reading.get("layers_joined") == "each"
    return frame_encoder(
        model,
        f"hf:{named.name}",
        record,
        parameters={**reading, "files": files, "emotion_labels": folder.emotion_labels()},
        raw_width=takes.width,
        width=takes.width if each else min(VIDEO_WIDTH, takes.width),
        size_px=takes.size_px,
        mean=takes.mean,
        std=takes.std,
        options=options,
    )
