"""Is an error a shortage of memory? Libraries report one in several ways; none of them means a damaged file."""

from __future__ import annotations

import errno

# What HDF5, torch (CPU and CUDA), ONNX runtimes, C++ and the loader write; all in lower case.
SIGNS = (
    "memory allocation failed",
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
    "failed to allocate memory",
    "could not allocate memory",
    "not enough memory",
    "insufficient memory",
    "out of memory",
    "bad_alloc",
    "failed to map segment from shared object",
    "can't start new thread",  # its stack could not be mapped, or the limit on threads is reached
)
FOREIGN = ("safetensors", "safetensors_rust", "pyarrow", "onnxruntime")


def is_shortage(error: BaseException) -> bool:
    """Tell whether an error, or what it was raised from, is the system or a library that lacks memory."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, MemoryError) or (isinstance(link, OSError) and link.errno == errno.ENOMEM):
            return True
        if isinstance(link, OSError | RuntimeError | ImportError) or _is_foreign(link):
            words = str(link).lower()
            if any(sign in words for sign in SIGNS):
                return True
        link = link.__cause__
    return False


def raise_shortage(error: BaseException) -> None:
    """Raise MemoryError where `error` is a shortage of memory; call it first where an error is given another name.

    Neither the error nor its frames are kept: they hold the very arrays that there was no room for.
    """
    if is_shortage(error):
        raise MemoryError(str(error)) from None


def _is_foreign(error: BaseException) -> bool:
    """Tell whether an extension module made the error's class, such as safetensors or pyarrow."""
    return type(error).__module__.partition(".")[0] in FOREIGN
