"""Clips with known contents, made on the spot by the real ffmpeg (or by PyAV, where each time stamp is chosen).

    coded_video   every picture carries its own number, at any time stamp: which frame came out can be read off
    flash_beep    a flash and a beep at one instant of the clock, streams that may start apart
    meld_like     what a MELD clip is made of: 1280x720, 27021/1127 fps, 5.1 sound, a bin_data stream

Nothing here uses the code under test.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CODE_BITS = 10
CODE_SIDE_PX = 16
CODE_WIDTH_PX = CODE_BITS * CODE_SIDE_PX  # a column a bit, the highest at the left
CODE_HEIGHT_PX = 64


def ffmpegs() -> dict[str, str]:
    """Return the ffmpeg binaries at hand, by name: the one that imageio-ffmpeg brings, and the system's.

    The first makes the clips, so that they are the same on every machine: ffmpeg 5.1 of Debian 12 starts a
    transport stream's sound 64 ms earlier (the encoder's delay twice), and fails to write some FLV files.
    """
    found = {}
    try:
        import imageio_ffmpeg

        found["imageio"] = str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        pass
    system = shutil.which("ffmpeg")
    if system:
        found["system"] = system
    return found


def counts_delays(ffmpeg: str) -> bool:
    """Whether an ffmpeg is so old that its clock may begin with what encoders put before the first sound.

    5.1 does so in Matroska, and after a seek in MPEG programme streams: picture and sound stay together, and both
    stand up to 0.13 s from where the file says; 9.0 does not. Releases between them were not at hand.
    """
    said = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return said.split(".")[0] in ("5", "6")


def run_ffmpeg(*arguments: str, ffmpeg: str | None = None) -> str:
    """Run ffmpeg and return what it printed on standard error; a failure raises with its words."""
    binary = ffmpeg or next(iter(ffmpegs().values()))
    done = subprocess.run(
        [binary, "-nostdin", "-hide_banner", "-y", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}\n{done.stderr[-2000:]}")
    return done.stderr


def coded_picture(number: int, bits: int = CODE_BITS) -> NDArray[np.uint8]:
    """Return a picture that shows `number` as white and black columns, shape (64, 160, 3)."""
    columns = [(number >> (bits - 1 - bit)) & 1 for bit in range(bits)]
    row = np.repeat(np.array(columns, dtype=np.uint8) * 255, CODE_SIDE_PX)
    return np.broadcast_to(row[None, :, None], (CODE_HEIGHT_PX, bits * CODE_SIDE_PX, 3)).copy()


def read_code(frame: NDArray[np.uint8], bits: int = CODE_BITS) -> int:
    """Return the number that a decoded (and scaled) frame shows."""
    width = frame.shape[1]
    centres = ((np.arange(bits) + 0.5) * width / bits).astype(int)
    white = frame[frame.shape[0] // 2, centres].mean(axis=1) > 127
    return int(sum(int(bit) << (bits - 1 - at) for at, bit in enumerate(white)))


def coded_video(
    path: Path,
    times_s: Sequence[float],
    *,
    codec: str = "libx264",
    time_base: Fraction = Fraction(1, 90_000),
    gop: int = 12,
    b_frames: int = 2,
    audio: NDArray[np.float32] | None = None,
    audio_rate_hz: int = 16_000,
    audio_codec: str = "aac",
    audio_start_s: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write pictures that carry their numbers, at the presentation times given; variable rates are welcome.

    Parameters
    ----------
    times_s
        Rising presentation times, seconds, as far as `time_base` can say them.
    audio
        Mono samples, shape (S,); None: no sound.
    options
        Of the container (``{"movflags": "..."}``).
    """
    import av

    if codec == "mpeg4":
        time_base = Fraction(1, 60_000)  # it can't count finer
    with av.open(str(path), "w", options=options or {}) as out:
        video = out.add_stream(codec, rate=25)
        video.width, video.height = CODE_WIDTH_PX, CODE_HEIGHT_PX
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video.codec_context.time_base = time_base
        video.time_base = time_base
        if codec in ("libx264", "mpeg4", "libvpx-vp9"):
            video.codec_context.gop_size = gop
        if codec == "libx264":
            video.options = {"bf": str(b_frames), "preset": "veryfast", "crf": "18"}
        sound = None
        if audio is not None:
            sound = out.add_stream(audio_codec, rate=audio_rate_hz, layout="mono")
        for number, time_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(coded_picture(number), format="rgb24")
            frame.pts, frame.time_base = round(time_s / time_base), time_base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound is not None and audio is not None:
            step = 1024
            for at in range(0, len(audio), step):
                piece = av.AudioFrame.from_ndarray(audio[None, at : at + step], format="fltp", layout="mono")
                piece.sample_rate = audio_rate_hz
                piece.time_base = Fraction(1, audio_rate_hz)
                piece.pts = round(audio_start_s * audio_rate_hz) + at
                out.mux(sound.encode(piece))
            out.mux(sound.encode(None))
    return path


def picture_times_s(path: Path) -> NDArray[np.float64]:
    """Return the presentation times of the first video stream on the clip's clock by PyAV, seconds, sorted."""
    import av

    with av.open(str(path)) as file:
        stream = next(s for s in file.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
        start_s = (file.start_time or 0) / 1_000_000
        times = [float(frame.pts * stream.time_base) for frame in file.decode(stream) if frame.pts is not None]
    return np.sort(np.array(times)) - start_s


def flash_beep(
    path: Path,
    *,
    at_s: float = 1.5,
    duration_s: float = 3.0,
    video_start_s: float = 0.0,
    audio_start_s: float = 0.0,
    rate: str = "25",
    size: str = "160x96",
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    audio_rate_hz: int = 48_000,
    flash_s: float = 0.2,
    ffmpeg: str | None = None,
    more: Sequence[str] = (),
) -> Path:
    """Write a clip that is white, and beeps, from `at_s` to `at_s + flash_s` of its clock.

    Each stream lasts to `duration_s` and begins at its own start: what comes earlier is not in the file.
    """
    end_s = at_s + flash_s
    picture = (
        f"color=black:s={size}:r={rate}:d={duration_s},"
        f"drawbox=c=white:t=fill:enable='gte(t,{at_s - 1e-4})*lt(t,{end_s - 1e-4})',trim=start={video_start_s}"
    )
    pieces = {"mp2": ",asetnsamples=1152:p=0", "libopus": ",asetnsamples=960:p=0"}  # what these encoders take
    sound = (
        f"aevalsrc='0.8*sin(2*PI*1000*t)*gte(t,{at_s})*lt(t,{end_s})':s={audio_rate_hz}:d={duration_s},"
        f"atrim=start={audio_start_s}" + pieces.get(audio_codec, "")
    )
    quality = ["-preset", "veryfast", "-crf", "18"] if video_codec == "libx264" else ["-q:v", "3"]
    run_ffmpeg(
        "-filter_complex", f"{picture}[v];{sound}[a]", "-map", "[v]", "-map", "[a]", "-fps_mode", "passthrough",
        "-c:v", video_codec, *quality, "-pix_fmt", "yuv420p", "-c:a", audio_codec, *more, f"file:{path}",
        ffmpeg=ffmpeg,
    )  # fmt: skip
    return path


def meld_like(
    path: Path,
    *,
    duration_s: float = 2.0,
    centre_hz: float = 440.0,
    others_hz: float = 1000.0,
    size: str = "1280x720",
    data_stream: bool = True,
    ffmpeg: str | None = None,
) -> Path:
    """Write a clip such as MELD's: 27021/1127 fps, AAC 5.1 whose centre is another tone, a bin_data stream."""
    channels = "|".join(
        f"0.4*sin(2*PI*{centre_hz if name == 'FC' else others_hz}*t)"
        for name in ("FL", "FR", "FC", "LFE", "BL", "BR")
    )
    inputs = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r=27021/1127:d={duration_s}",
              "-f", "lavfi", "-i", f"aevalsrc='{channels}':c=5.1:s=48000:d={duration_s}"]  # fmt: skip
    maps = ["-map", "0:v", "-map", "1:a"]
    chapters = path.with_name(path.name + ".chapters")
    if data_stream:  # chapters become a text track, which ffmpeg shows as bin_data
        chapters.write_text(
            f";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND={int(duration_s * 1000)}\ntitle=a\n"
        )
        inputs += ["-f", "ffmetadata", "-i", f"file:{chapters}"]
        maps += ["-map_metadata", "2", "-map_chapters", "2"]
    try:
        run_ffmpeg(
            *inputs, *maps, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac",
            "-b:a", "384k", f"file:{path}", ffmpeg=ffmpeg,
        )  # fmt: skip
    finally:
        chapters.unlink(missing_ok=True)
    return path


def tone(
    path: Path, *, hz: float = 440.0, duration_s: float = 1.0, channels: int = 1, rate_hz: int = 44_100
) -> Path:
    """Write a sine of amplitude 0.5, the format chosen by the suffix."""
    one = f"0.5*sin(2*PI*{hz}*t)"
    run_ffmpeg(
        "-f", "lavfi", "-i", f"aevalsrc='{'|'.join([one] * channels)}':s={rate_hz}:d={duration_s}", f"file:{path}"
    )
    return path


def loudest_hz(audio: NDArray[np.float32], rate_hz: int) -> float:
    """Return the frequency with the most energy, Hz."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(np.argmax(spectrum) * rate_hz / len(audio))
