"""librosa's filters where it finds no home, no cache folder and no temporary folder: the very same numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

librosa = pytest.importorskip("librosa")

from dualstream.features.acoustic import mel  # noqa: E402

REPOSITORY = Path(__file__).parents[2]
HOW = {"sr": 16_000, "n_fft": 512, "n_mels": 8}
# numba as it is for who may write nowhere: every place that it would take is refused
SHUT = """
import sys, tempfile
from numba.core import caching
real = caching._CacheLocator.ensure_cache_path
def refuse(self):
    if "dualstream-numba-" not in str(self.get_cache_path()):
        raise PermissionError(13, "Permission denied")
    real(self)
caching._CacheLocator.ensure_cache_path = refuse
if sys.argv[1] == "full":
    tempfile.tempdir = "/proc/none"
from dualstream.features.acoustic.mel import mel_filters
import hashlib
print(hashlib.sha256(mel_filters(sr=16_000, n_fft=512, n_mels=8).tobytes()).hexdigest())
"""


def test_the_filters_are_those_of_librosa() -> None:
    expected = librosa.filters.mel(**HOW)
    assert mel.mel_filters(**HOW).tobytes() == expected.tobytes()


@pytest.mark.slow  # numba compiles anew, seconds of work
@pytest.mark.parametrize("temporary", ["roomy", "full"])
def test_without_a_place_to_write_they_are_the_same(temporary: str, tmp_path: Path) -> None:
    import hashlib

    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", SHUT, temporary], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == hashlib.sha256(librosa.filters.mel(**HOW).tobytes()).hexdigest()


def test_an_error_of_the_first_load_leads_to_a_temporary_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba import config

    calls: list[str] = []

    def load(how: dict[str, object]) -> str:
        calls.append(str(config.CACHE_DIR))
        if len(calls) == 1:
            raise RuntimeError("cannot cache function '_localmax': no locator available")
        assert Path(config.CACHE_DIR).is_dir()
        return "filters"

    before = config.CACHE_DIR
    monkeypatch.setattr(mel, "_of_librosa", load)
    assert mel.mel_filters() == "filters"  # type: ignore[comparison-overlap]
    assert "dualstream-numba-" in calls[1]
    assert before == config.CACHE_DIR
    assert not Path(calls[1]).exists()


def test_nowhere_to_write_fails_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**how: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mel.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(OSError, match="set NUMBA_CACHE_DIR"), mel._roomy_folder():
        pass
