"""What mistaken commands are typed over: a corpus, a cache, runs and bundles, whole and damaged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import checkout  # noqa: F401

HEADER = "id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment"
ROWS = "".join(
    f"u{n:02d},clips/{'ab'[n % 2]}.wav,{'train' if n < 16 else 'dev'},,,d{n // 4},{n % 4},s{n // 4},"
    f"{('joy', 'anger')[n % 2]},{('positive', 'negative')[n % 2]}\n"
    for n in range(24)
)


def materials(folder: Path, typed: Callable[[str], tuple[int, str]]) -> None:
    """Write all of it.

    Parameters
    ----------
    typed
        Types a command in the folder; returns its exit status and what it said.
    """
    import numpy as np
    from dualstream.pipeline.cache import write_cache

    from tests.pipeline.planted_corpus import planted_cache

    write_cache(folder / "c.h5", planted_cache(sizes={"train": 60, "dev": 20, "test": 20}))
    for name in ("clips", "void", "shut"):
        (folder / name).mkdir()
    _sounds(folder / "clips")
    _manifests(folder)
    rng = np.random.default_rng(0)
    lines = [f"u{n:02d},{rng.normal() + 4 * (n % 2):.3f},{rng.normal():.3f}" for n in range(24)]
    (folder / "t.csv").write_text("\n".join(["id,x,y", *lines]) + "\n")
    (folder / "wide.csv").write_text("\n".join(["id,x,y,z", *(f"{one},1" for one in lines)]) + "\n")
    (folder / "odd.csv").write_text("\n".join(["id,x,y", *lines[:3], "u03,much,2"]) + "\n")
    (folder / "ids.csv").write_text("id,x,y\na,1,2\nb,2,3\n")
    (folder / "t.xlsx").write_bytes(b"PK\3\4")
    np.savez(folder / "t.npz", u00=np.zeros(3))
    (folder / "cut.npz").write_bytes((folder / "t.npz").read_bytes()[:100])
    (folder / "cut.parquet").write_bytes(b"PAR1" + bytes(20))
    (folder / "broken.toml").write_text("epochs = \n")
    (folder / "key.toml").write_text("epohcs = 3\n")
    (folder / "bytes.vtt").write_bytes(bytes(range(256)))
    (folder / "hostile.pkl").write_bytes(b"cos\nsystem\n(S'echo no'\ntR.")
    for words in (
        "extract m.csv --root . --video table:t.csv --audio none --out t.h5",
        "fit-head c.h5 --fusion linear --out r --no-report",
        "fit-head t.h5 --fusion linear_video --out tr --no-report",
        "export tr --out tb",
        "extract m.csv --root . --video none --out a.h5",
        "fit-head a.h5 --fusion linear_audio --out ar --no-report",
        "export ar --out ab",
    ):
        status, said = typed(words)
        assert status == 0, said
    _damaged(folder)
    _odd(folder)
    (folder / "shut").chmod(0o555)


def _sounds(folder: Path) -> None:
    import wave

    for name in "ab":
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(bytes(32_000))


def _manifests(folder: Path) -> None:
    text = f"{HEADER}\n{ROWS}"
    first = "a,clips/a.wav,train,,,,,,joy,positive\n"
    for name, words in {
        "m": text,
        "empty": "",
        "header": f"{HEADER}\n",
        "semicolon": text.replace(",", ";"),
        "bom-semicolon": "\ufeff" + text.replace(",", ";"),
        "twice": f"{HEADER}\n{first}{first}",
        "missing": "id,split,speaker\na,train,s1\n",
        "split": f"{HEADER}\n{first.replace('train', 'tarin')}",
        "escaping": f"{HEADER}\n{first.replace('clips/', '../')}",
        "backwards": f"{HEADER}\n{first.replace('train,,', 'train,5,2')}",
        "unicode": f"{HEADER}\n{first.replace('a,', 'Zoë,', 1)}",
    }.items():
        (folder / f"{name}.csv").write_text(words, encoding="utf-8")
    (folder / "utf16.csv").write_text(text, encoding="utf-16")
    (folder / "bytes.csv").write_bytes(bytes(range(256)) * 20)


def _damaged(folder: Path) -> None:
    import h5py

    image = (folder / "c.h5").read_bytes()
    (folder / "empty.h5").touch()
    (folder / "cut.h5").write_bytes(image[: len(image) // 2])
    (folder / "flipped.h5").write_bytes(image[:-100] + bytes([image[-100] ^ 1]) + image[-99:])
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = [1, 2, 3]
    shutil.copy(folder / "c.h5", folder / "version.h5")
    with h5py.File(folder / "version.h5", "r+") as file:
        file.attrs["version"] = 99
    _sealed_again(folder / "version.h5")
    for source, name, part in (("r", "half", "config.json"), ("tr", "weightless", "weights.safetensors")):
        shutil.copytree(folder / source, folder / name)
        whole = (folder / name / part).read_bytes()
        (folder / name / part).write_bytes(whole[: len(whole) // 2])
    shutil.copytree(folder / "tb", folder / "cut.bundle")
    place = folder / "cut.bundle" / "models.safetensors"
    place.write_bytes(place.read_bytes()[:-7])


def _sealed_again(path: Path) -> None:
    """Seal a changed cache anew, as a version to come would."""
    from dualstream.pipeline.storage.sealed import seal

    image = bytearray(path.read_bytes())
    seal(image, "cache")
    path.write_bytes(image)


def _odd(folder: Path) -> None:
    """Write what is whole and still the wrong thing: of another kind, empty, of odd names, not a file."""
    for name, text in {
        "empty.toml": "",
        "list.toml": "epochs = [1, 2]\n",
        "text.toml": 'epochs = "many"\n',
        "backwards.vtt": "WEBVTT\n\n00:05.000 --> 00:02.000\nhello\n",
        "empty.vtt": "",
        "nan.csv": "id,x,y\n" + "".join(f"u{n:02d},nan,1\n" for n in range(24)),
        "huge.csv": "id,x,y\n" + "".join(f"u{n:02d},1e300,1\n" for n in range(24)),
        "a name.csv": "x,y\n1,2\n",
        "line\nbreak.csv": "x,y\n1,2\n",
        "é.h5": "no cache",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "bytes.bin").write_bytes(bytes(range(256)) * 4)
    os.mkfifo(folder / "pipe.h5")
    (folder / "loop.csv").symlink_to("loop.csv")
