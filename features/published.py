"""Published weights that are known by name: where they come from, under which licence, and where they are put.

Nothing is fetched here: ``dualstream weights get NAME`` does that, when it is typed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dualstream.features.weights import DIGEST_IN_NAME

ON_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
IMAGENET_LICENCE = (
    "published with torchvision (BSD-3-Clause) without a licence of their own; trained on ImageNet, whose terms "
    "allow non-commercial research"
)
FACE_API = "https://cdn.jsdelivr.net/npm/@vladmandic/face-api@1.7.15/model"


@dataclass(frozen=True)
class PublishedFile:
    """One file that is published."""

    name: str
    """As it is called in its folder."""
    url: str
    """Where it is fetched from; https."""
    size: int | None = None
    """Bytes, or about so many; None where that is not known."""
    sha256: str = ""
    """Hex digest of the whole file, or the first digits of it; empty: as the server states it."""


@dataclass(frozen=True)
class PublishedWeights:
    """A set of files that make an encoder's weights."""

    name: str
    what: str
    """What they are, in a few words."""
    use: str
    """What to type to use them."""
    licence: str
    source: str
    """Whose they are, and where they say so."""
    files: tuple[PublishedFile, ...]
    in_torch_folder: bool = False
    """Whether they lie with torch hub's files; else in a folder of their name in the cache folder."""

    def folder(self) -> Path:
        """Return the folder that they are put in."""
        return torch_folder() if self.in_torch_folder else cache_folder() / self.name.replace("/", "--")

    def size(self) -> int | None:
        """Return how many bytes they are; None where that is known only when they are fetched."""
        sizes = [one.size for one in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def is_there(self) -> bool:
        """Return whether all files lie in their folder; their digests are checked when they are read."""
        return all((self.folder() / one.name).is_file() for one in self.files)


def cache_folder() -> Path:
    """Return the folder of fetched weights: below XDG_CACHE_HOME, or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "dualstream" / "weights"


def torch_folder() -> Path:
    """Return the folder of torch hub's files, without importing torch."""
    base = os.environ.get("TORCH_HOME") or os.path.expanduser("~/.cache/torch")
    return Path(base) / "hub" / "checkpoints"


EXPRESSION = PublishedWeights(
    "expression",
    "facial expressions, 324 thousand weights; 256 features of a face",
    "--video expression",
    "MIT",
    "face-api of Vincent Mühler, kept by Vladimir Mandic: https://github.com/vladmandic/face-api",
    (
        PublishedFile(
            "face_expression_model-weights_manifest.json",
            f"{FACE_API}/face_expression_model-weights_manifest.json",
            6980,
            "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8",
        ),
        PublishedFile(
            "face_expression_model.bin",
            f"{FACE_API}/face_expression_model.bin",
            329468,
            "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
        ),
    ),
)
RECOGNITION = PublishedWeights(
    "face-recognition",
    "tells people apart, 5.6 million weights; 128 numbers of a face",
    "--identity --identity-weights FILE",
    "MIT",
    "face-api of Vincent Mühler, kept by Vladimir Mandic, whose numbers are dlib's: "
    "https://github.com/vladmandic/face-api",
    (
        PublishedFile(
            "face_recognition_model-weights_manifest.json",
            f"{FACE_API}/face_recognition_model-weights_manifest.json",
            19615,
            "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
        ),
        PublishedFile(
            "face_recognition_model.bin",
            f"{FACE_API}/face_recognition_model.bin",
            6444032,
            "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
        ),
    ),
)
VGG16 = PublishedWeights(
    "vgg16",
    "VGG-16 of ImageNet, 138 million weights; 4,096 features of a picture",
    "--video vgg16",
    IMAGENET_LICENCE,
    "torchvision: https://pytorch.org/vision",
    (
        PublishedFile(
            "vgg16-397923af.pth",
            "https://download.pytorch.org/models/vgg16-397923af.pth",
            553433881,
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        ),
    ),
    in_torch_folder=True,
)


def on_hub(model: str, what: str, licence: str, megabytes: int | None = None) -> PublishedWeights:
    """Return a model of https://huggingface.co by its name, OWNER/MODEL; the hub states its files' digests."""
    sizes = {"config.json": 0, "preprocessor_config.json": 0, "model.safetensors": megabytes and megabytes * 10**6}
    base = f"https://huggingface.co/{model}"
    files = tuple(PublishedFile(name, f"{base}/resolve/main/{name}", size) for name, size in sizes.items())
    return PublishedWeights(model, what, "", licence, base, files)


APACHE = "Apache-2.0"
PUBLISHED = {
    one.name: one
    for one in (
        EXPRESSION,
        RECOGNITION,
        VGG16,
        on_hub("openai/whisper-tiny.en", "speech in English: encoder of 8 million weights, 4 layers", APACHE, 151),
        on_hub("openai/whisper-small", "speech: encoder of 88 million weights, 12 layers", APACHE, 967),
        on_hub("openai/whisper-large-v3", "speech: encoder of 637 million weights, 32 layers", APACHE, 3090),
        on_hub("facebook/dinov2-small", "pictures: 22 million weights, 12 layers", APACHE, 88),
        on_hub("google/siglip-base-patch16-224", "pictures and text: 93 million weights of pictures", APACHE, 813),
    )
}


def find_published(name: str) -> PublishedWeights:
    """Return what a name stands for: of the list, ``torchvision:NAME``, or OWNER/MODEL of the hub.

    Raises
    ------
    ValueError
        Where it is none of these; the message lists the names there are.
    """
    if name in PUBLISHED:
        return PUBLISHED[name]
    if name.startswith("torchvision:"):
        return _of_torchvision(name.removeprefix("torchvision:"))
    if ON_HUB.fullmatch(name):
        return on_hub(name, "a model of the hub", f"see https://huggingface.co/{name}")
    raise ValueError(
        f"no weights are called {name!r}; expected one of {', '.join(PUBLISHED)}; torchvision:NAME, or "
        "OWNER/MODEL of https://huggingface.co"
    )


def _of_torchvision(network: str) -> PublishedWeights:
    from dualstream.features.packages import require

    models = require("torchvision.models", "networks of torchvision")
    if network not in models.list_models(module=models):
        raise ValueError(f"torchvision has no classification network {network!r}")
    entry = models.get_model_weights(network).DEFAULT
    file = Path(entry.url).name
    stated = DIGEST_IN_NAME.search(file)
    if stated is None:
        raise ValueError(f"{entry.url} states no digest in its name; fetch it by hand")
    size = round(entry.meta["_file_size"] * 2**20)
    return PublishedWeights(
        f"torchvision:{network}",
        f"{network} of ImageNet, {entry.meta['num_params'] / 1e6:.1f} million weights",
        f"--video torchvision:{network}",
        str(entry.meta.get("license", IMAGENET_LICENCE)),
        "torchvision: https://pytorch.org/vision",
        (PublishedFile(file, entry.url, size, stated.group(1)),),
        in_torch_folder=True,
    )


def licence_of(sha256: str) -> str | None:
    """Return the licence of a published file by its digest; None where it is not known."""
    for one in PUBLISHED.values():
        if any(len(file.sha256) == 64 and file.sha256 == sha256 for file in one.files):
            return one.licence
    return None
