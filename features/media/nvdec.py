"""The video engine of an NVIDIA GPU (NVDEC), by way of PyAV: it decodes what it can, and libraries do the rest.

Decoding H.264 and its like is defined to the bit, so its pictures are those of the libraries. They come back to
the CPU, which picks and scales them as it does any other.
"""

from __future__ import annotations

import functools
from typing import Any

from dualstream.features.media.settings import MediaError

NEEDED = "decoding by nvdec needs an NVIDIA GPU, its driver and PyAV with CUDA"


@functools.cache
def engine(gpu: int) -> Any:
    """Return what makes PyAV decode on a GPU; its context is made once in a process, and kept.

    Raises
    ------
    MediaError
        ``missing``, where there is no such GPU.
    """
    try:
        import av
        from av.codec.hwaccel import HWAccel
    except ImportError as error:
        raise MediaError("missing", f"{NEEDED} ({error}); or use ffmpeg") from error
    made = HWAccel("cuda", str(gpu), allow_software_fallback=True, options={"primary_ctx": "1"})
    try:
        _kept.append(made.create(av.Codec("h264", "r")))
    except (av.error.FFmpegError, NotImplementedError) as error:
        raise MediaError("missing", f"{NEEDED} ({error}); or use pyav or ffmpeg") from error
    return made


_kept: list[Any] = []  # contexts, which would be made anew for each clip were they let go
