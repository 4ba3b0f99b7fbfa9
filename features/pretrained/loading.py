"""transformers' Auto classes, from a folder alone: no network, no code of the folder, safetensors only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dualstream.features.memory import raise_shortage
from dualstream.features.pretrained.folder import ModelFolder

if TYPE_CHECKING:
    from torch import Tensor, nn

EXTRA = "hf"
WHO = "encoders of transformers"
REFUSALS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError)
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def load_config(transformers: Any, folder: ModelFolder) -> Any:
    """Return the folder's configuration.

    Raises
    ------
    ValueError
        Where it is of no kind that this transformers knows without running code of the folder.
    """
    with quiet(transformers, f"the configuration of hf:{folder.path}"):
        return transformers.AutoConfig.from_pretrained(str(folder.path), **LOCAL)


def load_model(transformers: Any, config: Any, folder: ModelFolder, *, unused: Sequence[str]) -> nn.Module:
    """Return the folder's network, filled, whatever precision it was saved in.

    Parameters
    ----------
    unused
        Parts of names of tensors that may be absent, since nothing is read of them.

    Raises
    ------
    ValueError
        Where it can't be loaded, or other tensors are absent: they would be random numbers.
    """
    with quiet(transformers, f"hf:{folder.path}"):
        net, facts = transformers.AutoModel.from_pretrained(
            str(folder.path), config=config, use_safetensors=True, output_loading_info=True, **LOCAL
        )
    lacking = [str(name) for name in facts["missing_keys"] if not any(part in str(name) for part in unused)]
    odd = [str(one) for one in facts["mismatched_keys"]]
    if lacking or odd:
        raise ValueError(
            f"hf:{folder.path}: the weights lack {', '.join(sorted(lacking)[:3])} ({len(lacking)} tensors of "
            f"{type(net).__name__}); they would be random numbers"
            if lacking
            else f"hf:{folder.path}: the weights are not those of its configuration: {', '.join(odd[:3])}"
        )
    bad = [name for name, tensor in net.state_dict().items() if not bool(tensor.isfinite().all())]
    if bad:
        raise ValueError(f"hf:{folder.path}: {bad[0]} holds NaN or infinity, so its features would mean nothing")
    model: nn.Module = net
    return model


def read_tensors(folder: ModelFolder, prefixes: Sequence[str]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with the first of `prefixes` that any has, without it; as float32.

    Raises
    ------
    ValueError
        Where a file is no safetensors file, or a tensor holds NaN or infinity.
    """
    from safetensors import SafetensorError, safe_open

    parts = [one for one in folder.weights if one.suffix == ".safetensors"]
    found: dict[str, Tensor] = {}
    try:
        names = [(part, name) for part in parts for name in _names(part)]
        prefix = next((one for one in prefixes if any(name.startswith(one) for _, name in names)), prefixes[0])
        for part in parts:
            with safe_open(str(part), framework="pt") as file:
                for name in [one for where, one in names if where == part and one.startswith(prefix)]:
                    found[name.removeprefix(prefix)] = file.get_tensor(name).float()
    except (SafetensorError, OSError) as error:
        raise_shortage(error)
        raise ValueError(f"hf:{folder.path}: the weights can't be read as safetensors: {error}") from error
    for name, tensor in found.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"hf:{folder.path}: {name} holds NaN or infinity, so its features would mean nothing")
    return found


@contextmanager
def quiet(transformers: Any, what: str) -> Iterator[None]:
    """Hold transformers' own lines and bars back in a block, and give its errors the name of what was loaded.

    Raises
    ------
    ValueError
        In the place of whatever transformers raised.
    """
    from safetensors import SafetensorError

    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except (SafetensorError, *REFUSALS) as error:
        raise_shortage(error)
        found = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ValueError(f"{what} can't be loaded: {found}") from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _names(part: Any) -> list[str]:
    from safetensors import safe_open

    with safe_open(str(part), framework="pt") as file:
        return list(file.keys())
