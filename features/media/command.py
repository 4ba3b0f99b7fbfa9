"""Find ffmpeg, and build its command lines through ffmpeg-python.

ffmpeg  GLOBAL  GUARDS -t … -i file:/abs/path   -map 0:V:0 … pipe:5   -map 0:a:0 … pipe:7
                └ before -i, or they guard nothing
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualstream.features.media.report import DecodeReport
from dualstream.features.media.settings import Guards, MediaError

BINARY_VARIABLE = "DUALSTREAM_FFMPEG"
VERSION_LIMIT_S = 20.0
OLDEST = "5.1"  # the first release with -fps_mode
OLDEST_RELEASE, OLDEST_LIBAVUTIL = (5, 1), (57, 28)  # the same as numbers
IMAGEIO = "imageio-ffmpeg 0.8 or newer"  # 0.5 brings 4.2; 0.6 and 0.7 a 7.0.2 that crashes on MPEG-TS
NONE_AT_ALL = "no ffmpeg on PATH and none from imageio-ffmpeg"
_RELEASE = re.compile(r"n?(\d+)\.(\d+)")
_LIBAVUTIL = re.compile(r"^libavutil +(\d+)\. *(\d+)\.", re.MULTILINE)


def find_ffmpeg(explicit: str | None = None) -> str:
    """Return the path of an ffmpeg: `explicit`, ``$DUALSTREAM_FFMPEG``, the PATH's, or imageio-ffmpeg's binary.

    The PATH's is passed over where it is older than `OLDEST` or does not run; one that was named never is.

    Raises
    ------
    MediaError
        ``missing``, where the one that was named does not exist or is too old, or none that is there will do.
    """
    named = _named(explicit)
    if named is not None:
        source, binary = named
        about = _about(binary)
        if about.too_old:
            found = f"{source} names {binary}, which is ffmpeg {about.version}"
            raise MediaError("missing", f"{found}; {OLDEST} or newer is needed")
        return binary
    passed_over = []
    on_path = shutil.which("ffmpeg")
    if on_path is not None:
        fault = _fault(on_path)
        if not fault:
            return on_path
        passed_over.append(f"PATH has {fault}")
    try:
        import imageio_ffmpeg

        bundled = str(imageio_ffmpeg.get_ffmpeg_exe())
        fault = _fault(bundled)
        if not fault:
            return bundled
        passed_over.append(f"imageio-ffmpeg brings {fault}")
    except (ImportError, RuntimeError) as error:
        passed_over.append(f"imageio-ffmpeg brings none ({error})" if passed_over else NONE_AT_ALL)
    raise MediaError("missing", f"{'; '.join(passed_over)}: install ffmpeg {OLDEST} or newer, or {IMAGEIO}")


def ffmpeg_candidates(explicit: str | None = None) -> tuple[str, ...]:
    """Return what `find_ffmpeg` would choose from, without starting any of it: paths, and a package's version.

    Raises
    ------
    MediaError
        ``missing``, where the one that was named does not exist.
    """
    named = _named(explicit)
    if named is not None:
        return (named[1],)
    found = [path for path in (shutil.which("ffmpeg"), os.environ.get("IMAGEIO_FFMPEG_EXE")) if path]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found.append(f"imageio-ffmpeg {importlib.metadata.version('imageio-ffmpeg')}")
    return tuple(found)


def decoder_version(ffmpeg: str | None = None) -> str:
    """Return the version that an ffmpeg states (``5.1.9-0+deb12u1``): decoders differ between versions."""
    return _about(find_ffmpeg(ffmpeg)).version


def _named(explicit: str | None) -> tuple[str, str] | None:
    """Return who names an ffmpeg and its path; None where nobody does."""
    for source, name in (("--ffmpeg", explicit), (BINARY_VARIABLE, os.environ.get(BINARY_VARIABLE))):
        if name:
            found = shutil.which(name)
            if found is None:
                raise MediaError("missing", f"{source} names {name!r}, which is no program that can be run")
            return source, found
    return None


def _fault(binary: str) -> str:
    """Return in words why an ffmpeg can't be used; empty where it can."""
    try:
        about = _about(binary)
    except MediaError as error:
        return str(error)
    return f"{binary}, which is ffmpeg {about.version}" if about.too_old else ""


@dataclass(frozen=True)
class _About:
    """What an ffmpeg says of itself."""

    version: str
    """``5.1.9-0+deb12u1``, ``n7.1``, ``N-113007-g8d24a28``, ``2022-12-15-git-9adf022``."""
    libavutil: tuple[int, int] | None

    @property
    def too_old(self) -> bool:
        """Whether it is older than `OLDEST`: by its release, or, where it is built between two, by its library."""
        release = _RELEASE.match(self.version)
        if release is not None:
            return (int(release[1]), int(release[2] or 0)) < OLDEST_RELEASE
        return self.libavutil is not None and self.libavutil < OLDEST_LIBAVUTIL


def _about(binary: str) -> _About:
    try:
        changed_ns = os.stat(binary).st_mtime_ns
    except OSError:
        changed_ns = 0
    return _ask(binary, changed_ns)


@functools.lru_cache(maxsize=8)
def _ask(binary: str, changed_ns: int) -> _About:
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
    library = _LIBAVUTIL.search(done.stdout)
    return _About(words[2], (int(library[1]), int(library[2])) if library else None)


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


def not_opened(report: DecodeReport, path: Path, status: int) -> MediaError:
    """Return the error for a file that ffmpeg could not open; a negative status is the signal that ended it."""
    words = report.said()
    if status < 0:
        words = f"ffmpeg itself crashed (signal {-status}); another one may read it (--ffmpeg): {words}"
    if "Unrecognized option" in words:
        return MediaError("missing", f"ffmpeg is too old, {OLDEST} or newer is needed: {words}")
    if "hitelist" in words:
        return MediaError(
            "unreadable",
            f"{path} is of a format that is not opened (a playlist, a picture, or one outside the list): {words}",
        )
    return MediaError(report.kind("unreadable"), f"{path} can't be opened: {words}")
