"""Find ffmpeg, and build its command lines through ffmpeg-python.

ffmpeg  GLOBAL  GUARDS -t … -i file:/abs/path   -map 0:V:0 … pipe:5   -map 0:a:0 … pipe:7
                └ before -i, or they guard nothing
"""

from __future__ import annotations

import functools
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

from features.media.report import Report
from features.media.settings import Guards, MediaError

BINARY_VARIABLE = "DUALSTREAM_FFMPEG"
VERSION_LIMIT_S = 20.0
OLDEST = "5.1"  # the first release with -fps_mode


def find_ffmpeg(explicit: str | None = None) -> str:
    """Return the path of an ffmpeg: `explicit`, ``$DUALSTREAM_FFMPEG``, the PATH, or imageio-ffmpeg's binary.

    Raises
    ------
    MediaError
        ``missing``, where the one that was named does not exist, or there is none at all.
    """
    for name, source in ((explicit, "--ffmpeg"), (os.environ.get(BINARY_VARIABLE), BINARY_VARIABLE)):
        if name:
            found = shutil.which(name)
            if found is None:
                raise MediaError("missing", f"{source} names {name!r}, which is no program that can be run")
            return found
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise MediaError(
            "missing",
            f"no ffmpeg on PATH and none from imageio-ffmpeg: install ffmpeg {OLDEST} or newer, or imageio-ffmpeg",
        ) from error


def decoder_version(ffmpeg: str | None = None) -> str:
    """Return the version that an ffmpeg states (``5.1.9-0+deb12u1``): decoders differ between versions."""
    binary = find_ffmpeg(ffmpeg)
    try:
        changed_ns = os.stat(binary).st_mtime_ns
    except OSError:
        changed_ns = 0
    return _version(binary, changed_ns)


@functools.lru_cache(maxsize=8)
def _version(binary: str, changed_ns: int) -> str:
    try:
        done = subprocess.run(
            [binary, "-hide_banner", "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_LIMIT_S,
            check=True,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MediaError("missing", f"{binary} does not say its version: {error}") from error
    words = done.stdout.split("\n", 1)[0].split()
    if words[:2] != ["ffmpeg", "version"] or len(words) < 3:
        raise MediaError("missing", f"{binary} is no ffmpeg: asked for its version, it said {' '.join(words)!r}")
    return words[2]


def regular_file(path: Path) -> str:
    """Return the real path of a regular file that has bytes.

    Raises
    ------
    MediaError
        ``missing``, ``not_a_file`` (a folder, a pipe, a device: some of these never end) or ``empty``.
    """
    try:
        real = os.path.realpath(path, strict=True)
        status = os.stat(real)
    except (OSError, ValueError) as error:
        raise MediaError("missing", f"{path}: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise MediaError("not_a_file", f"{path} is a folder, a pipe or a device; expected a regular file")
    if status.st_size == 0:
        raise MediaError("empty", f"{path} has 0 bytes")
    return real


def global_options(ffmpeg: str) -> list[str]:
    """Return the binary and the options that come before all others."""
    return [
        ffmpeg,
        "-nostdin",
        "-hide_banner",
        "-nostats",
        "-loglevel",
        "repeat+level+info",
        "-filter_threads",
        "1",
    ]


def input_options(guards: Guards) -> dict[str, Any]:
    """Return the options that must stand before ``-i`` to guard what is opened."""
    return {
        "max_alloc": guards.max_alloc_bytes,
        "protocol_whitelist": "file,pipe",
        "format_whitelist": ",".join(guards.formats),
        "max_streams": guards.max_streams,
        "max_pixels": guards.max_pixels,
        "err_detect": "crccheck+bitstream+buffer",  # check what can be checked, say so, and go on
        "threads": guards.threads,
    }


def input_url(real_path: str) -> str:
    """Return the name under which ffmpeg opens a real path as a plain file, whatever characters it has."""
    return f"file:{real_path}"


def not_opened(report: Report, path: Path) -> MediaError:
    """Return the error for a file that ffmpeg could not open."""
    words = report.said()
    if "Unrecognized option" in words:
        return MediaError("missing", f"ffmpeg is too old, {OLDEST} or newer is needed: {words}")
    if "hitelist" in words:
        return MediaError(
            "unreadable",
            f"{path} is of a format that is not opened (a playlist, a picture, or one outside the list): {words}",
        )
    return MediaError(report.kind("unreadable"), f"{path} can't be opened: {words}")
