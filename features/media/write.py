"""write_clip: frames and sound to a media file, through pipes of raw pictures and raw samples."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.media import command, runner
from dualstream.features.media.channels import channel_count
from dualstream.features.media.report import DecodeReport
from dualstream.features.media.settings import Guards, MediaError
from numpy.typing import ArrayLike, NDArray

DEFAULT_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
EVERY: dict[str, Any] = {
    "bitexact": None,
    "map_metadata": -1,
    "threads": 1,
}  # of every file: the same bytes each time


def write_clip(
    path: Path,
    frames: NDArray[np.uint8] | None,
    frame_rate: float | str,
    audio: NDArray[np.float32] | None,
    sample_rate_hz: int,
    *,
    audio_delay_s: float = 0.0,
    layout: str | None = None,
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    crf: int = 20,
    ffmpeg: str | None = None,
    guards: Guards | None = None,
) -> None:
    """Write a clip; the container is chosen by the suffix of `path`. A failure leaves no file behind.

    Parameters
    ----------
    frames
        RGB, shape (F, H, W, 3); H and W even for most codecs. None: no picture.
    frame_rate
        Frames a second, a number or a fraction such as ``"27021/1127"``.
    audio
        Samples, shape (S,) or (S, C), full scale ±1. None: no sound.
    audio_delay_s
        How much later the sound starts than the picture, seconds, 0 or more.
    layout
        ffmpeg's name of the channel layout; None: the usual one for C channels.
    crf
        Quality of libx264, 0 (lossless) to 51; other codecs take their own default.

    Raises
    ------
    MediaError
        With ffmpeg's own words, where it can't write the file.
    """
    guards = guards or Guards()
    binary = command.find_ffmpeg(ffmpeg)
    if frames is None and audio is None:
        raise ValueError("frames and audio are both None: there is nothing to write")
    folder = os.path.realpath(path.parent)
    if not os.path.isdir(folder):
        raise MediaError("missing", f"the folder of {path} does not exist")
    if frames is not None and (
        frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not frames.size
    ):
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; expected uint8 (F, H, W, 3), F at least 1")
    samples = None if audio is None else _columns(audio)
    if samples is not None:
        layout = _layout(layout, samples.shape[1])
    if audio_delay_s < 0:
        raise ValueError(f"audio_delay_s is {audio_delay_s}; expected 0 or more")
    part = os.path.join(folder, f".{os.getpid()}-{os.urandom(4).hex()}.part{path.suffix}")

    def make_command(fds: list[int], _: list[int]) -> list[str]:
        left = iter(fds)
        inputs, options = [], dict(EVERY)
        if frames is not None:
            inputs.append(_video_input(next(left), frames, frame_rate))
            options |= _video_options(video_codec, crf)
        if samples is not None:
            inputs.append(_audio_input(next(left), samples, sample_rate_hz))
            options |= _audio_options(audio_codec, layout, samples.shape[1], audio_delay_s)
        return _compiled(inputs, part, options, binary)

    sources = [_bytes(one) for one in (frames, samples) if one is not None]
    _write(path, part, make_command, sources, guards)


def _write(
    path: Path,
    part: str,
    make_command: Callable[[list[int], list[int]], list[str]],
    sources: Sequence[memoryview],
    guards: Guards,
) -> None:
    """Run ffmpeg, which writes `part`, and give that its name `path` once it is whole."""
    report = DecodeReport(guards.log_bytes)
    try:
        status = runner.run(make_command, log=report.feed, sources=sources, guards=guards, may_write=True)
        report.close()
        if status != 0:
            raise MediaError("unreadable", f"{path} can't be written: {report.said()}")
        os.replace(part, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _video_input(fd: int, frames: NDArray[np.uint8], frame_rate: float | str) -> Any:
    import ffmpeg as builder

    size = frames.shape[2], frames.shape[1]
    raw = {"format": "rawvideo", "pix_fmt": "rgb24", "framerate": frame_rate, "video_size": size}
    return builder.input(f"pipe:{fd}", **raw)["v"]


def _video_options(codec: str, crf: int) -> dict[str, Any]:
    options: dict[str, Any] = {"c:v": codec, "pix_fmt": "yuv420p"}
    return options | {"crf": crf, "preset": "veryfast"} if codec == "libx264" else options


def _audio_input(fd: int, samples: NDArray[np.float32], sample_rate_hz: int) -> Any:
    import ffmpeg as builder

    raw = {"format": "f32le", "ar": sample_rate_hz, "ac": samples.shape[1]}
    return builder.input(f"pipe:{fd}", **raw)["a"]


def _audio_options(codec: str, layout: str | None, channels: int, delay_s: float) -> dict[str, Any]:
    # The pipe's samples carry no layout but a guess, so the channels are named one by one.
    named = "|".join(f"c{c}=c{c}" for c in range(channels))
    delay = f",asetpts=PTS+{delay_s:.6f}/TB" if delay_s else ""
    return {"c:a": codec, "af": f"pan={layout}|{named}{delay}"}


def _compiled(inputs: Sequence[Any], part: str, options: Mapping[str, Any], binary: str) -> list[str]:
    import ffmpeg as builder

    output = builder.output(*inputs, f"file:{part}", **options)
    arguments: list[str] = builder.compile(output, cmd=command.global_options(binary), overwrite_output=True)
    return arguments


def _columns(audio: ArrayLike) -> NDArray[np.float32]:
    samples = np.asarray(audio, dtype=np.float32)
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or not samples.size or samples.shape[1] > 64:
        raise ValueError(f"audio has shape {samples.shape}; expected (S,) or (S, C) with S at least 1")
    return samples


def _layout(layout: str | None, channels: int) -> str:
    if layout is None:
        if channels not in DEFAULT_LAYOUTS:
            raise ValueError(f"{channels} channels have no usual layout: name one, such as 7.1")
        return DEFAULT_LAYOUTS[channels]
    if channel_count(layout) != channels:
        raise ValueError(f"layout {layout!r} has {channel_count(layout)} channels, and the audio has {channels}")
    return layout


def _bytes(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B")
