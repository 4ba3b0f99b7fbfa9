"""Find an encoder's weights, check their sha256 and name their licence. Nothing is ever downloaded.

What may stand behind ``--video-weights`` and ``--audio-weights``:

    imagenet       torchvision's own weights, if their file already lies in torch's hub folder
    random:SEED    numbers drawn from a seed, named as such wherever the features go
    FILE           a state dict: .safetensors, or .pth/.pt holding tensors and nothing else
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, TypedDict

from dualstream.features.memory import raise_shortage
from dualstream.features.single_read import open_hashed

if TYPE_CHECKING:
    from torch import Tensor

WeightsKind = Literal["imagenet", "random", "file"]

UNKNOWN_LICENCE = "unknown: the file does not say"
RANDOM_LICENCE = "none: random numbers"
MAX_SEED = 2**63 - 1
PICKLE_SUFFIXES = (".pth", ".pt")
HEAD_PREFIX = "dual_head."  # tensors of the emotion and sentiment heads that train-encoder leaves in a file
DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$")  # torch hub's: vgg16-397923af.pth


class WeightsDocument(TypedDict, total=False):
    """What a spec says of weights; caches of other programs may lack keys."""

    source: str
    """``imagenet:IMAGENET1K_V1``, ``file`` or ``random:SEED``."""
    sha256: str
    licence: str


@dataclass(frozen=True)
class WeightsChoice:
    """What the user asked for, read but not yet found."""

    kind: WeightsKind
    seed: int = 0
    """For ``random`` alone, 0 to 2**63 - 1."""
    path: Path | None = None
    """For ``file`` alone."""

    @classmethod
    def parse(cls, text: str) -> WeightsChoice:
        """Read ``imagenet``, ``random:SEED`` or a file name; raise ValueError for a seed that is none."""
        if text == "imagenet":
            return cls("imagenet")
        if text == "random" or text.startswith("random:"):
            seed = text.partition(":")[2]
            if not (seed.isascii() and seed.isdigit() and int(seed) <= MAX_SEED):
                raise ValueError(f"weights are {text!r}; expected random:SEED, such as random:0")
            return cls("random", seed=int(seed))
        if not text:
            raise ValueError("weights are an empty string; expected imagenet, random:SEED or a file")
        return cls("file", path=Path(text))

    def require_there(self) -> None:
        """Raise FileNotFoundError where a file is named and does not exist, ValueError where it is no weights'."""
        if self.path is not None and self.path.is_dir():
            raise ValueError(f"weights file {self.path} is a folder; expected a .safetensors or .pth file in it")
        if self.path is not None and not self.path.is_file():
            raise FileNotFoundError(
                f"weights file {self.path} does not exist; expected a .safetensors or .pth file, imagenet or "
                "random:SEED"
            )
        if self.path is not None and self.path.suffix.lower() not in (".safetensors", *PICKLE_SUFFIXES):
            raise ValueError(
                f"weights file {self.path.name} ends in {self.path.suffix!r}; expected .safetensors, .pth or .pt"
            )


@dataclass(frozen=True)
class WeightsRecord:
    """What the fingerprint and the cache say of a set of weights."""

    source: str
    """``imagenet:IMAGENET1K_V1``, ``file`` or ``random:SEED``."""
    sha256: str
    """Of the whole file; for random weights that of `digest_of_state`."""
    licence: str

    def to_json(self) -> WeightsDocument:
        """Return the record as JSON values."""
        return {"source": self.source, "sha256": self.sha256, "licence": self.licence}


class OwnNetwork(Protocol):
    """A network that nobody publishes weights for."""

    def reset(self, seed: int) -> Any:
        """Draw all weights from a seed."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        ...

    def load_state_dict(self, state: dict[str, Tensor], /) -> Any:
        """Take tensors by name."""
        ...


def fill(net: OwnNetwork, weights: str | None, *, name: str, stream: str, columns: int) -> WeightsRecord:
    """Fill a network with the weights that `weights` names, ``random:SEED`` or a file, and return their record.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ValueError
        Where no weights are named, or the file's tensors are not those of the encoder `name`.
    """
    choice = WeightsChoice.parse(weights) if weights else None
    if choice is None or choice.kind == "imagenet":
        raise ValueError(
            f"{name} has no published weights; expected --{stream}-weights FILE (train-encoder writes one), or "
            f"--{stream}-weights random:0 for a dry run"
        )
    if choice.kind == "random":
        net.reset(choice.seed)
        return random_record(choice.seed, net.state_dict())
    assert choice.path is not None
    state, sha256, licence = load_file(choice.path)
    try:
        net.load_state_dict(without_heads(state))
    except RuntimeError as error:
        raise_shortage(error)
        raise ValueError(
            f"weights file {choice.path.name} is not one of {name} with {columns} columns: {error}"
        ) from error
    return WeightsRecord("file", sha256, licence or UNKNOWN_LICENCE)


def random_record(seed: int, state: dict[str, Tensor]) -> WeightsRecord:
    """Return the record of weights that were drawn: the digest is over the numbers themselves."""
    return WeightsRecord(f"random:{seed}", digest_of_state(state), RANDOM_LICENCE)


def load_file(path: Path) -> tuple[dict[str, Tensor], str, str | None]:
    """Read a state dict from a file, and check the digest where the file's name states one.

    Returns
    -------
    state
        Tensors by name, on the CPU, floats as float32, every one of them finite.
    sha256
        Hex digest of the whole file: of the bytes that the tensors were read from.
    licence
        What a .safetensors file says under ``licence`` or ``license`` in its metadata; None where it says nothing.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ValueError
        Where the file is of no kind that is read, holds anything but tensors, holds NaN or infinity,
        differs from the digest in its name, or changes while it is read.
    MemoryError
        Where there is no room for it.
    """
    WeightsChoice("file", path=path).require_there()
    suffix = path.suffix.lower()
    with open_hashed(path) as (file, sha256):
        check_digest_in_name(path.name, sha256)
        state, licence = (
            _read_safetensors(file, path) if suffix == ".safetensors" else (_read_pth(file, path), None)
        )
    for name, tensor in state.items():
        if tensor.is_floating_point():
            state[name] = tensor.float()
            if not bool(state[name].isfinite().all()):
                raise ValueError(
                    f"weights file {path.name}: {name} holds NaN or infinity, so its features would mean nothing"
                )
    return state, sha256, licence


def without_heads(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the encoder alone, without the heads that it was trained under."""
    return {name: tensor for name, tensor in state.items() if not name.startswith(HEAD_PREFIX)}


def digest_of_state(state: dict[str, Tensor]) -> str:
    """Return a sha256 over names, types, shapes and bytes of all tensors, in order of their names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()


def check_digest_in_name(name: str, sha256: str) -> None:
    """Raise ValueError where a name states the start of a digest (vgg16-397923af.pth) that is not the file's."""
    stated = DIGEST_IN_NAME.search(name)
    if stated and not sha256.startswith(stated.group(1)):
        raise ValueError(
            f"weights file {name}: its name states a sha256 that begins with {stated.group(1)}, its bytes have "
            f"{sha256}; the file is damaged or was changed: fetch it again, or rename it if it is your own"
        )


def _read_safetensors(file: BinaryIO, path: Path) -> tuple[dict[str, Tensor], str | None]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    image = file.read()
    try:
        state = load(image)
        metadata = json.loads(image[8 : 8 + int.from_bytes(image[:8], "little")]).get("__metadata__") or {}
    except SafetensorError as error:
        raise_shortage(error)
        raise ValueError(f"weights file {path.name} can't be read as safetensors: {error}") from error
    return state, metadata.get("licence") or metadata.get("license")


def _read_pth(file: BinaryIO, path: Path) -> dict[str, Tensor]:
    from pickle import UnpicklingError  # the error alone: weights_only admits tensors, never code

    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, OSError) as error:
        raise_shortage(error)
        found = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"weights file {path.name} can't be read as plain tensors: {found}; expected a "
            "state dict (torch.save(model.state_dict(), ...)) or a .safetensors file"
        ) from error
    if not isinstance(state, dict):
        raise ValueError(f"weights file {path.name} holds a {type(state).__name__}; expected a state dict")
    odd = [str(name) for name, value in state.items() if not torch.is_tensor(value)]
    if odd or not state:
        raise ValueError(
            f"weights file {path.name} holds {', '.join(odd[:5]) or 'nothing'} beside tensors; expected a plain "
            "state dict: save the entry that holds the model's tensors alone"
        )
    return state
