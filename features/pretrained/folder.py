"""A model's folder as transformers saves it: which files it must hold, their digests, and what else it says.

config.json                  the architecture
preprocessor_config.json     how samples or pixels are prepared (processor_config.json in newer folders)
model.safetensors            the weights; or model.safetensors.index.json and the parts that it names
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dualstream.features.published import ON_HUB, cache_folder, licence_of
from dualstream.features.single_read import digest_of_file
from dualstream.features.weights import UNKNOWN_LICENCE, WeightsRecord

from dualstream.documents import JsonObject

CONFIG = "config.json"
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
    "flax_model.msgpack",
    "model.ckpt.index",
)
SHOWN_FILES = 8
LAYERS = re.compile(r"@(all|\d+(?:-\d+)?)$")
# Labels that tell of a model that was fitted on emotions, as words or as corpora abbreviate them.
EMOTIONS = re.compile(
    r"neu(tral)?|calm|hap(py|piness)?|joy(ful)?|sad(ness)?|ang(ry|er)?|fear(ful)?|disgust(ed)?|surprised?|"
    r"bor(ed|edom)|contempt|excited|frustrat\w+|arousal|valence|dominance|positive|negative"
)


@dataclass(frozen=True)
class Named:
    """What stands behind ``hf:``: a folder, and what follows ``@``."""

    path: Path
    layers: str
    """``6``, ``5-7`` or ``all``; empty: the default."""

    @classmethod
    def parse(cls, text: str) -> Named:
        """Read ``FOLDER`` or ``FOLDER@LAYERS``; a folder whose name itself ends so is that folder.

        Raises
        ------
        ValueError
            Where no folder is named.
        """
        found = LAYERS.search(text)
        folder = text if found is None or Path(os.path.expanduser(text)).is_dir() else text[: found.start()]
        if not folder:
            raise ValueError("hf names no folder; expected hf:FOLDER or hf:FOLDER@LAYERS, such as hf:wavlm-base@8")
        return cls(_located(folder), "" if found is None or folder == text else found.group(1))

    @property
    def name(self) -> str:
        """The folder's own name, and the layers: what a cache may know of it."""
        return self.path.resolve().name + (f"@{self.layers}" if self.layers else "")


@dataclass(frozen=True, repr=False)
class ModelFolder:
    """A folder that holds all files that are needed."""

    path: Path
    preprocessor: Path
    weights: tuple[Path, ...]
    """One file, or the index and its parts."""

    @classmethod
    def find(cls, path: Path) -> ModelFolder:
        """Look for the files; none of the weights is read.

        Raises
        ------
        FileNotFoundError
            Where there is no such folder, or it lacks a file; the message says which files it must hold.
        ValueError
            Where the index of the weights can't be read.
        """
        if not path.is_dir():
            raise FileNotFoundError(
                f"hf:{path}: there is no such folder. Nothing is fetched: expected a model's folder on this "
                f"machine, with {_needed()}. `dualstream weights list` names some that `dualstream weights get` "
                f"fetches; others: `hf download OWNER/MODEL --local-dir {path.name or 'FOLDER'}`"
            )
        preprocessor = next((path / name for name in PREPROCESSORS if (path / name).is_file()), None)
        weights = _weights(path)
        lacking = [
            name
            for name, there in (
                (CONFIG, (path / CONFIG).is_file()),
                (PREPROCESSORS[0], preprocessor is not None),
                (WEIGHTS, bool(weights)),
            )
            if not there
        ]
        if lacking or preprocessor is None:
            raise FileNotFoundError(f"hf:{path} lacks {' and '.join(lacking)}: {_told(path)}")
        return cls(path, preprocessor, weights)

    @property
    def files(self) -> list[Path]:
        """All files that the model rests on."""
        return [self.path / CONFIG, self.preprocessor, *self.weights]

    def settings(self) -> dict[str, str]:
        """Return the digests of configuration and preprocessor by file name, for the fingerprint."""
        return {one.name: digest_of_file(one) for one in (self.path / CONFIG, self.preprocessor)}

    def record(self) -> WeightsRecord:
        """Return the record of the weights; their digest is `digest_of_folder`."""
        sha256 = self.digest()
        return WeightsRecord("file", sha256, licence_of(sha256) or self._licence() or UNKNOWN_LICENCE)

    def digest(self) -> str:
        """Return the sha256 of the weights: the file's own, or one over the names and digests of all parts."""
        if len(self.weights) == 1:
            return digest_of_file(self.weights[0])
        lines = "".join(f"{one.name} {digest_of_file(one)}\n" for one in self.weights)
        return hashlib.sha256(lines.encode()).hexdigest()

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Raise ValueError at the end of the block where one of the files was written to meanwhile."""
        before = self._stamps()
        yield
        if self._stamps() != before:
            raise ValueError(
                f"hf:{self.path} changed while it was read; run the same command again when it is whole"
            )

    def _stamps(self) -> list[tuple[int, int]]:
        return [(facts.st_size, facts.st_mtime_ns) for facts in (one.stat() for one in self.files)]

    def config(self) -> JsonObject:
        """Return config.json.

        Raises
        ------
        ValueError
            Where it is no JSON object.
        """
        return _read_json(self.path / CONFIG)

    def emotion_labels(self) -> list[str]:
        """Return the emotions among the classes that the configuration names."""
        labels = self.config().get("id2label") or {}
        words = sorted(str(one) for one in labels.values()) if isinstance(labels, dict) else []
        return [word for word in words if EMOTIONS.fullmatch(word.lower())]

    def _licence(self) -> str | None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(self.weights[-1]), framework="np") as file:
                stated = file.metadata() or {}
        except (OSError, SafetensorError):  # loading it will say so
            return None
        return stated.get("licence") or stated.get("license")


def digest_of_folder(path: Path) -> str:
    """Return the digest of the weights in a folder, or in the folder of a file that is named.

    Raises
    ------
    FileNotFoundError, ValueError
        As `ModelFolder.find`.
    """
    return ModelFolder.find(path if path.is_dir() else path.parent).digest()


def files_of(argument: str, weights: str | None) -> list[Path]:
    """Return the files that an encoder ``hf:argument`` rests on; `weights` are never named for it.

    Raises
    ------
    FileNotFoundError, ValueError
        As `ModelFolder.find` and `Named.parse`.
    """
    return ModelFolder.find(Named.parse(argument).path).files


def _located(folder: str) -> Path:
    """Return the folder that is named; OWNER/MODEL is what `weights get` fetched, where there is no other."""
    path, fetched = Path(os.path.expanduser(folder)), cache_folder() / folder.replace("/", "--")
    return fetched if ON_HUB.fullmatch(folder) and not path.is_dir() and fetched.is_dir() else path


def _weights(path: Path) -> tuple[Path, ...]:
    if (path / WEIGHTS).is_file():
        return (path / WEIGHTS,)
    if not (path / INDEX).is_file():
        return ()
    parts = sorted({str(one) for one in (_read_json(path / INDEX).get("weight_map") or {}).values()})
    odd = [name for name in parts if Path(name).name != name or not name.endswith(".safetensors")]
    if odd or not parts:
        raise ValueError(
            f"{path / INDEX} names {', '.join(odd) or 'no parts'}; expected .safetensors files beside it"
        )
    lacking = [name for name in parts if not (path / name).is_file()]
    if lacking:
        raise FileNotFoundError(f"hf:{path} lacks {', '.join(lacking)}, which {INDEX} names: {_told(path)}")
    return (path / INDEX, *(path / name for name in parts))


def _needed() -> str:
    return f"{CONFIG}, {PREPROCESSORS[0]}, and {WEIGHTS} (or {INDEX} with its parts)"


def _told(path: Path) -> str:
    names = sorted(one.name for one in path.iterdir())
    more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
    text = f"it must hold {_needed()}; found {', '.join(names[:SHOWN_FILES]) or 'nothing'}{more}"
    if any(name in names for name in PICKLES) and WEIGHTS not in names:
        text += (
            ". Only safetensors are read, since other formats may hold code: where you trust the file, "
            "transformers writes them (`AutoModel.from_pretrained(FOLDER).save_pretrained(OTHER)`)"
        )
    return text


def _read_json(path: Path) -> JsonObject:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} can't be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}; expected an object")
    return found
