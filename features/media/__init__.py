"""Media files to arrays and back: the only package that runs ffmpeg, or PyAV.

read_clip   frames and sound of one clip on one clock, from one ffmpeg process
probe       what a file holds, without decoding it
write_clip  frames and sound to a file
"""

from dualstream.features.media.assemble import Clip, ClipFacts
from dualstream.features.media.clip import read_clip
from dualstream.features.media.command import decoder_version, ffmpeg_candidates, find_ffmpeg
from dualstream.features.media.pair import probe_pair
from dualstream.features.media.probe import AudioFacts, Probe, VideoFacts, probe
from dualstream.features.media.pyav import version_of
from dualstream.features.media.runner import stop_all
from dualstream.features.media.settings import DecodeSettings, Guards, MediaError
from dualstream.features.media.write import write_clip

__all__ = [
    "AudioFacts",
    "Clip",
    "ClipFacts",
    "DecodeSettings",
    "Guards",
    "MediaError",
    "Probe",
    "VideoFacts",
    "decoder_version",
    "ffmpeg_candidates",
    "find_ffmpeg",
    "probe",
    "probe_pair",
    "read_clip",
    "stop_all",
    "version_of",
    "write_clip",
]
