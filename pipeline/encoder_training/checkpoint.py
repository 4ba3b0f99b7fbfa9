"""A checkpoint: tensors and JSON in one safetensors file, written whole or not at all, verified when read."""

from __future__ import annotations

import json
from pathlib import Path

from dualstream.features.weights import digest_of_state
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.memory import refuse_shortage
from dualstream.pipeline.provenance import canonical_json
from dualstream.pipeline.storage.sealed import publish
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dualstream.documents import JsonObject

FORMAT = "dualstream checkpoint 1"


def write_checkpoint(path: Path, tensors: dict[str, Tensor], note: JsonObject) -> None:
    """Put a checkpoint at `path`, in the place of an older one; `note` holds JSON values."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    facts = {"format": FORMAT, "note": canonical_json(note), "sha256": digest_of_state(whole)}
    publish(path, packed(whole, facts))


def packed(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Return a safetensors image; the same tensors and metadata give the same bytes.

    The library writes the metadata's entries in an order of its own, another in each process.
    """
    image = save(tensors, metadata=metadata)
    size = int.from_bytes(image[:8], "little")
    header = json.dumps(json.loads(image[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + image[8 + size :]


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], JsonObject]:
    """Return the tensors, on the CPU, and the note of a checkpoint.

    Raises
    ------
    FileNotFoundError
        Where there is none.
    CorruptError
        Where it is no checkpoint, or not the bytes that were written.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        note = json.loads(facts["note"])
    except (SafetensorError, KeyError, ValueError) as error:
        refuse_shortage(error, f"while {path} is read")
        raise CorruptError(
            f"{path} is no checkpoint that can be read ({error}); remove it, and training starts over"
        ) from error
    if facts.get("format") != FORMAT or digest_of_state(tensors) != facts.get("sha256"):
        raise CorruptError(f"{path} is damaged, or of another version; remove it, and training starts over")
    return tensors, note
