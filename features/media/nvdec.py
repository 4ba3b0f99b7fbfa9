"""The video engine of an NVIDIA GPU (NVDEC), by way of PyAV: it decodes what it can, and libraries do the rest.

Decoding H.264 and its like is defined to the bit, so its pictures are those of the libraries. They stay on the
GPU; those that are nearest to a tick come back to the CPU, which scales them as it does any other.

Making a decoder takes 0.2 s, most of it in the driver, where processes wait for each other. So a decoder that is
done with a clip is kept for the next one of its kind, as if new: emptied, with the next clip's header and delay.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

from dualstream.features.media import boxes, unshown
from dualstream.features.media.settings import MediaError

if TYPE_CHECKING:
    from av import Packet

NEEDED = "decoding by nvdec needs an NVIDIA GPU, its driver and PyAV with CUDA"
KEPT_CODECS = ("h264", "hevc")  # whose next header is taken from a packet
SHORTEST_HEADER = 6  # bytes, of one that says nothing
MOST_KEPT = 4  # kinds of clips; a decoder holds some tens of megabytes of the GPU's memory
NEW_EXTRADATA = 1  # AV_PKT_DATA_NEW_EXTRADATA


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
    made = HWAccel("cuda", str(gpu), allow_software_fallback=True, options={"primary_ctx": "1"}, is_hw_owned=True)
    try:
        _contexts.append(made.create(av.Codec("h264", "r")))
    except (av.error.FFmpegError, NotImplementedError) as error:
        raise MediaError("missing", f"{NEEDED} ({error}); or use pyav or ffmpeg") from error
    return made


def on_cpu(picture: Any) -> Any:
    """Return a picture in memory of the CPU, in the layout that the engine has it in; any other as it is."""
    if picture.sw_format is None:
        return picture
    found = picture.reformat(format=picture.sw_format.name)
    found.pts, found.time_base = picture.pts, picture.time_base
    return found


class EngineDecoder:
    """What decodes one stream: a decoder kept from a stream of the same kind, or else the stream's own.

    Parameters
    ----------
    stream : av.VideoStream
        Of a file that was opened for the engine; its decoder is set up, and has seen no packet.
    real_path : str
        The file. Only files whose index tells how far pictures are delayed, and turned, share their decoders.
    gpu : int
        Number of the GPU.
    """

    def __init__(self, stream: Any, real_path: str, gpu: int) -> None:
        own = stream.codec_context
        self.header = bytes(own.extradata or b"")
        has_box = len(self.header) > SHORTEST_HEADER and self.header[0] == 1  # avcC or hvcC
        turns = boxes.stated_turns(real_path) if own.name in KEPT_CODECS and has_box else ()
        self._kind = _kind(stream, gpu, turns) if turns else None
        with _lock:
            kept = None if self._kind is None else _kept.pop(self._kind, None)
        self.context = kept or own
        self._states_header = kept is not None
        if kept is not None:
            kept.reorder_depth = own.reorder_depth

    @property
    def sample_aspect_ratio(self) -> Any:
        """The shape of a pixel, as the stream's pictures state it."""
        return self.context.sample_aspect_ratio

    def decode(self, packet: Packet) -> list[Any]:
        """Decode a packet, the last one of a file too, which has nothing in it."""
        if packet.size:
            has_header = packet.has_sidedata("new_extradata")  # the second one of a file that has two
            if has_header or (packet.is_keyframe and self._is_told_more(packet)):
                self._kind = None
            if self._states_header and not has_header:
                _attach(self.header, packet)
            self._states_header = False
        return list(self.context.decode(packet))

    def keep(self) -> None:
        """Keep the decoder for the next stream of its kind; for one that met nothing unusual."""
        if self._kind is None:
            return
        self.context.flush_buffers()
        with _lock:
            _kept.pop(self._kind, None)
            _kept[self._kind] = self.context
            while len(_kept) > MOST_KEPT:
                del _kept[next(iter(_kept))]

    def _is_told_more(self, packet: Packet) -> bool:
        """Tell whether a packet says of its stream what the header doesn't, such as colours, which would stay."""
        shares_h264 = self._kind is not None and self.context.name == "h264"  # of HEVC nothing stays
        return shares_h264 and unshown.restates(bytes(packet), self.header)


def _kind(stream: Any, gpu: int, turns: tuple[bytes, ...]) -> tuple[Any, ...]:
    """Return all that a decoder was told of its stream."""
    own = stream.codec_context
    told = (own.name, own.codec_tag, own.profile, own.width, own.height, own.sample_aspect_ratio, own.thread_count)
    colours = (own.colorspace, own.color_range, own.color_primaries, own.color_trc)
    return gpu, turns, bytes(own.extradata), stream.time_base, *told, *colours, *sorted(own.options.items())


def _attach(header: bytes, packet: Packet) -> None:
    """State a stream's header with its first packet: what the stream before changed of it is forgotten."""
    from av.packet import PacketSideData

    told = PacketSideData(NEW_EXTRADATA, len(header))  # type: ignore[call-arg]
    told.update(header)
    packet.set_sidedata(told)


_lock = threading.Lock()
_contexts: list[Any] = []  # which would be made anew for each clip were they let go
_kept: dict[tuple[Any, ...], Any] = {}  # decoders without a clip, that of the last one last
