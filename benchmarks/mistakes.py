"""A hundred mistaken commands, typed as a user would: what is said, exit status, processor seconds until refused.

    python benchmarks/mistakes.py [--only WORD]

Each runs in a process of its own. It passes where there is no traceback, the exit status is that of its kind, the
message holds the words that say what was found and what to do, and nothing is left behind. Goal: below 1 s of
processor time each, start of Python included.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from checkout import ROOT

LIMIT_S = 1.0
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
USAGE = 2
"""The words of the command, or a file that they name: not there, in the way, or holding something else."""
CLIPS_FAILED = 3
"""Done, but clips have a reason in the place of an answer: of many, one may be missing."""
ABSENT = 10
"""There is no such cache, run or bundle."""
MISMATCH = 12
"""Things made in different ways were to be mixed."""
CORRUPT = 13
"""A file that a program wrote, ours or a pickle, is damaged or holds what is not admitted."""


@dataclass(frozen=True)
class Mistake:
    """One command that must be refused."""

    status: int
    words: str
    says: tuple[str, ...]
    """What its message must hold."""


def mistake(status: int, words: str, *says: str) -> Mistake:
    """Return one."""
    return Mistake(status, words, says)


MISTAKES = (
    # the command itself
    mistake(USAGE, "extrat m.csv", "No such command", "extract"),
    mistake(USAGE, "extract", "Missing argument", "MANIFEST"),
    mistake(USAGE, "fit-head c.h5 --fusoin concat", "No such option", "--fusion"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --epochs many", "many"),
    mistake(USAGE, "fit-head c.h5 m.csv --fusion linear", "unexpected extra argument", "m.csv"),
    # manifest
    mistake(USAGE, "manifest fodler clips --out x.csv", "fodler", "folder"),
    mistake(USAGE, "manifest folder nowhere --out x.csv", "nowhere", "folder"),
    mistake(USAGE, "manifest folder m.csv --out x.csv", "m.csv", "folder"),
    mistake(USAGE, "manifest folder void --out x.csv", "no clip", "joy/a.mp4"),
    mistake(USAGE, "manifest meld void --out x.csv", "found no", "MELD"),
    mistake(USAGE, "manifest folder clips --out m.csv", "m.csv", "--replace", "another --out"),
    mistake(USAGE, "manifest folder clips --out shut/x.csv", "shut", "--out"),
    mistake(USAGE, "manifest folder clips --out m.csv/x.csv", "m.csv", "--out"),
    mistake(USAGE, "manifest folder clips --out x.csv --speaker-from ([a-z", "--speaker-from", "([a-z"),
    # check
    mistake(USAGE, "check nowhere.csv --root .", "nowhere.csv", "`manifest` makes one"),
    mistake(USAGE, "check clips --root .", "clips", "CSV"),
    mistake(USAGE, "check m.csv --root nowhere", "nowhere", "folder"),
    mistake(USAGE, "check m.csv --root m.csv", "m.csv", "folder"),
    mistake(USAGE, "check empty.csv --no-media", "empty", "header"),
    mistake(USAGE, "check semicolon.csv --no-media", "';'", "comma"),
    mistake(USAGE, "check twice.csv --no-media", "'a'", "line"),
    mistake(USAGE, "check missing.csv --no-media", "emotion", "path"),
    mistake(USAGE, "check utf16.csv --no-media", "UTF-8"),
    mistake(USAGE, "check split.csv --no-media", "'tarin'", "train"),
    mistake(USAGE, "check escaping.csv --no-media", "../"),
    mistake(USAGE, "check backwards.csv --no-media", "end_s", "line 2"),
    mistake(USAGE, "check unicode.csv --no-media", "Zoë", "A-Z a-z 0-9"),
    mistake(USAGE, "check bytes.csv --no-media", "CSV"),
    # extract
    mistake(USAGE, "extract nowhere.csv", "nowhere.csv", "`manifest` makes one"),
    mistake(USAGE, "extract clips", "clips", "CSV"),
    mistake(USAGE, "extract bom-semicolon.csv", "';'"),
    mistake(USAGE, "extract m.csv --root nowhere", "nowhere", "--root"),
    mistake(USAGE, "extract m.csv --video resnet18", "resnet18", "torchvision:resnet18"),
    mistake(USAGE, "extract m.csv --device gpu", "gpu", "cuda:N"),
    mistake(USAGE, "extract m.csv --video vgg61", "vgg61", "vgg16"),
    mistake(USAGE, "extract m.csv --audio acustic --video none", "acustic", "acoustic"),
    mistake(USAGE, "extract m.csv --video none --audio none", "none"),
    mistake(USAGE, "extract m.csv --video table:nowhere.csv --audio none", "nowhere.csv"),
    mistake(USAGE, "extract m.csv --video table:t.xlsx --audio none", ".xlsx", ".csv"),
    mistake(USAGE, "extract m.csv --video table:empty.csv --audio none", "empty"),
    mistake(USAGE, "extract m.csv --video table:odd.csv --audio none", "much", "number"),
    mistake(USAGE, "extract m.csv --video table:ids.csv --audio none", "'u00'", "ids must be"),
    mistake(USAGE, "extract m.csv --video table:cut.npz --audio none", "cut.npz"),
    mistake(USAGE, "extract m.csv --video table:cut.parquet --audio none", "cut.parquet"),
    mistake(USAGE, "extract m.csv --video table:void --audio none", "void", ".npy"),
    mistake(USAGE, "extract m.csv --video cnn5 --video-weights nowhere.pth", "nowhere.pth"),
    mistake(USAGE, "extract m.csv --video cnn5 --video-weights m.csv", "m.csv"),
    mistake(USAGE, "extract m.csv --video cnn5 --video-weights random:x", "random:x"),
    mistake(USAGE, "extract m.csv --video cnn5 --video-weights clips", "clips", "file"),
    mistake(USAGE, "extract m.csv --hop 0", "--hop"),
    mistake(USAGE, "extract m.csv --window -1", "--window"),
    mistake(USAGE, "extract m.csv --sampling evry:3", "evry:3", "every"),
    mistake(USAGE, "extract m.csv --precision fp23", "fp23", "fp32"),
    mistake(USAGE, "extract m.csv --part 5/3", "5/3"),
    mistake(USAGE, "extract m.csv --shard-size 0", "--shard-size"),
    mistake(USAGE, "extract m.csv --workers -1", "--workers"),
    mistake(USAGE, "extract m.csv --device cuda --video none", "cuda", "cpu"),
    mistake(USAGE, "extract m.csv --out shut/x.h5 --video none", "shut", "--out"),
    mistake(USAGE, "extract m.csv --out m.csv/x.h5 --video none", "m.csv", "--out"),
    mistake(USAGE, "extract m.csv --out clips --video none", "clips", "--out"),
    mistake(USAGE, "extract m.csv --ffmpeg nowhere/ffmpeg --video none", "nowhere/ffmpeg"),
    mistake(MISMATCH, "extract m.csv --video table:t.csv --audio none --window 2 --out t.h5", "window", "--out"),
    # project, inspect
    mistake(ABSENT, "project nowhere.h5", "nowhere.h5", "extract"),
    mistake(USAGE, "project t.h5 --stream vdeo", "vdeo", "video"),
    mistake(USAGE, "project t.h5 --width 0", "--width"),
    mistake(ABSENT, "inspect nowhere.h5", "nowhere.h5", "extract"),
    mistake(CORRUPT, "inspect empty.h5", "empty.h5"),
    mistake(CORRUPT, "inspect cut.h5", "cut.h5", "Copy the file again"),
    mistake(CORRUPT, "inspect flipped.h5", "flipped.h5", "damaged"),
    mistake(CORRUPT, "inspect m.csv", "m.csv", "cache"),
    mistake(ABSENT, "inspect clips", "clips is a folder", "cache.h5"),
    mistake(CORRUPT, "inspect other.h5", "other.h5"),
    mistake(CORRUPT, "inspect version.h5", "version", "99"),
    # train-encoder, weights
    mistake(USAGE, "train-encoder nowhere.csv --encoder cnn5", "nowhere.csv", "`manifest` makes one"),
    mistake(USAGE, "train-encoder m.csv --encoder resnet", "resnet", "cnn5"),
    mistake(USAGE, "train-encoder m.csv --encoder cnn5 --epochs 0", "--epochs"),
    mistake(USAGE, "train-encoder m.csv --encoder cnn5 --out w.bin", ".safetensors"),
    mistake(USAGE, "weights get vgg61", "vgg61", "vgg16"),
    mistake(USAGE, "weights fetch vgg16", "fetch", "get"),
    # fit-head, compare
    mistake(ABSENT, "fit-head nowhere.h5 --fusion linear --out x", "nowhere.h5", "extract"),
    mistake(CORRUPT, "fit-head cut.h5 --fusion linear --out x", "cut.h5"),
    mistake(USAGE, "fit-head c.h5 --fusion conact --out x", "conact", "concat"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --streams video,adio --out x", "adio", "audio"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --loss focla --out x", "focla", "focal"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --tasks mood --out x", "mood", "emotion"),
    mistake(USAGE, "fit-head c.h5 --epochs 0 --out x", "--epochs"),
    mistake(USAGE, "fit-head c.h5 --learning-rate -1 --out x", "--learning-rate"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --seeds 0 --out x", "--seeds", "1 or more"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --folds speaker:40 --out x", "40", "6"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --folds mood:3 --out x", "mood", "speaker"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --out m.csv", "m.csv", "--out"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --out r", "r", "--replace"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --out clips", "clips", "--out"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --out shut/x", "shut", "--out"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --set rank", "rank", "key=value"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --config nowhere.toml", "nowhere.toml"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --config broken.toml", "broken.toml", "line"),
    mistake(USAGE, "fit-head c.h5 --fusion linear --config key.toml", "epohcs", "epochs"),
    mistake(ABSENT, "fit-head --like nowhere --out x", "nowhere"),
    mistake(ABSENT, "compare nowhere.h5 --out x", "nowhere.h5", "extract"),
    mistake(USAGE, "compare c.h5 --fusions concat,gatd --out x", "gatd", "gated"),
    mistake(USAGE, "compare c.h5 --folds 1 --out x", "1", "2"),
    mistake(USAGE, "compare c.h5 --out r", "r", "--out"),
    # evaluate, report, diagnose
    mistake(ABSENT, "evaluate nowhere", "nowhere", "fit-head"),
    mistake(ABSENT, "evaluate clips", "clips", "run"),
    mistake(ABSENT, "evaluate c.h5", "c.h5", "run"),
    mistake(USAGE, "evaluate r --split tset", "tset", "test"),
    mistake(ABSENT, "evaluate r --cache nowhere.h5", "nowhere.h5"),
    mistake(CORRUPT, "evaluate half", "half"),
    mistake(CORRUPT, "evaluate weightless --split dev", "weightless"),
    mistake(ABSENT, "report nowhere", "nowhere", "fit-head"),
    mistake(CORRUPT, "report half", "half"),
    mistake(USAGE, "report r --table x.xls", ".xls", ".csv"),
    mistake(USAGE, "report r --table shut/x.csv", "shut"),
    mistake(ABSENT, "diagnose nowhere.h5", "nowhere.h5", "extract"),
    mistake(USAGE, "diagnose c.h5 --task mood", "mood", "emotion"),
    mistake(USAGE, "diagnose c.h5 --fusion conact --out x", "conact", "concat"),
    mistake(ABSENT, "diagnose c.h5 --against nowhere.h5 --out x", "nowhere.h5"),
    # export, predict
    mistake(ABSENT, "export nowhere --out x", "nowhere", "fit-head"),
    mistake(USAGE, "export r --out x", "how its rows were made", "extract"),
    mistake(USAGE, "export tr --out clips", "clips", "--out"),
    mistake(USAGE, "export tr --out tb", "tb", "--replace"),
    mistake(CORRUPT, "export weightless --out x", "weightless"),
    mistake(ABSENT, "predict nowhere a.mp4", "nowhere", "export"),
    mistake(ABSENT, "predict r clips/a.wav", "r", "export"),
    mistake(CORRUPT, "predict cut.bundle --table video=t.csv", "cut.bundle"),
    mistake(USAGE, "predict tb clips/a.wav", "--table"),
    mistake(USAGE, "predict tb --table vdeo=t.csv", "vdeo", "video=FILE"),
    mistake(USAGE, "predict tb --table video=nowhere.csv", "nowhere.csv"),
    mistake(USAGE, "predict tb --table video=odd.csv", "much", "number"),
    mistake(MISMATCH, "predict tb --table video=wide.csv", "3 columns", "2"),
    mistake(USAGE, "predict tb --table video=t.csv --csv m.csv", "m.csv", "--replace"),
    mistake(USAGE, "predict tb --table video=t.csv --csv nowhere/x.csv", "nowhere", "folder"),
    mistake(USAGE, "predict tb --table video=t.csv --vtt x.vtt", "--vtt", "tables"),
    mistake(USAGE, "predict ab clips/a.wav --device gpu", "gpu", "cuda:N"),
    mistake(USAGE, "predict ab clips/a.wav --device cuda:7", "cuda:7", "cpu"),
    mistake(CLIPS_FAILED, "predict ab nowhere.mp4", "nowhere.mp4", "put it there, or fix the path"),
    mistake(USAGE, "predict ab void", "void"),
    mistake(USAGE, "predict ab clips/a.wav --segments nowhere.vtt", "nowhere.vtt", "silence"),
    mistake(USAGE, "predict ab clips/a.wav --segments bytes.vtt", "bytes.vtt"),
    mistake(USAGE, "predict ab clips/a.wav --timeline 0", "--timeline", "0.2"),
    mistake(USAGE, "predict ab clips --vtt x.vtt", "x.vtt", "folder"),
    mistake(USAGE, "predict ab clips/a.wav --workers -1", "--workers"),
    mistake(USAGE, "predict ab clips/a.wav --csv shut/x.csv", "shut", "--csv"),
    # convert
    mistake(ABSENT, "convert nowhere.h5 --to npy --out x", "nowhere.h5", "extract"),
    mistake(USAGE, "convert c.h5 --out x", "--to", "parquet"),
    mistake(USAGE, "convert c.h5 --to parqet --out x", "parqet", "parquet"),
    mistake(USAGE, "convert c.h5 --to mmsa --out m.csv", "m.csv", "--replace"),
    mistake(USAGE, "convert c.h5 --to npy --out clips", "clips", "--out"),
    mistake(USAGE, "convert mmas pickle.pkl --out x.h5", "mmas", "mmsa"),
    mistake(CORRUPT, "convert mmsa m.csv --out x.h5", "m.csv", "pickle"),
    mistake(CORRUPT, "convert mmsa hostile.pkl --out x.h5", "hostile.pkl", "system"),
    mistake(CORRUPT, "convert csd m.csv --manifest m.csv --out x.csd", "m.csv"),
    mistake(CORRUPT, "convert cut.h5 --to npy --out x", "cut.h5"),
    mistake(MISMATCH, "convert c.h5 --to npy --run tr --out x", "tr", "cache"),
    # demo
    mistake(USAGE, "demo --dialogues 2 --out x", "2 dialogues", "9"),
    mistake(USAGE, "demo --out clips", "clips", "--out"),
)

HEADER = "id,path,split,start_s,end_s,dialogue,turn,speaker,emotion,sentiment"
ROWS = "".join(
    f"u{n:02d},clips/{'ab'[n % 2]}.wav,{'train' if n < 16 else 'dev'},,,d{n // 4},{n % 4},s{n // 4},"
    f"{('joy', 'anger')[n % 2]},{('positive', 'negative')[n % 2]}\n"
    for n in range(24)
)


def materials(folder: Path) -> None:
    """Write what the commands are typed over: files that are whole, and their damaged copies."""
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
        done = typed(folder, words)
        assert done.status == 0, done.said
    _damaged(folder)
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


@dataclass(frozen=True)
class Typed:
    """What became of a command."""

    status: int
    said: str
    cpu_s: float
    left: tuple[str, ...]
    """What stands in the folder that stood not there before."""

    def faults(self, expected: Mistake) -> Iterator[str]:
        """Say what is wrong with how it was refused."""
        if "Traceback" in self.said:
            yield "a traceback"
        if self.status != expected.status:
            yield f"status {self.status}, not {expected.status}"
        for words in expected.says:
            if words not in self.said:
                yield f"does not say {words!r}"
        if self.left:
            yield f"left behind: {', '.join(self.left)}"


def typed(folder: Path, words: str) -> Typed:
    """Type a command in a folder; return what it said, and the processor time of its process."""
    before = set(folder.rglob("*"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "dualstream", *words.split(" ")],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        preexec_fn=_as_anybody,
    )  # fmt: skip
    assert process.stdout is not None
    said = process.stdout.read().decode(errors="replace")
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    new = (one.relative_to(folder) for one in set(folder.rglob("*")) - before)
    # of an extraction its locks stay, and the folder that it goes on from
    left = sorted(str(one) for one in new if one.suffix != ".lock" and ".shards" not in one.parts[0])
    return Typed(process.returncode, said, used.ru_utime + used.ru_stime, tuple(left))


def _as_anybody() -> None:
    """Have root, too, write only where the folder's mode lets it."""
    if os.getuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def main() -> None:
    """Type all, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="commands with this word")
    parser.add_argument("--texts", action="store_true", help="print what each said")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, wrong, seconds = Path(place), 0, []
        materials(folder)
        started_s = time.monotonic()
        for one in (one for one in MISTAKES if arguments.only in one.words):
            done = typed(folder, one.words)
            faults = list(done.faults(one))
            wrong, seconds = wrong + bool(faults), [*seconds, done.cpu_s]
            told = f"  <<< {'; '.join(faults)}" if faults else ""
            print(f"{done.cpu_s:5.2f} s  {done.status:3}  {one.words}{told}", flush=True)
            if arguments.texts or faults:
                print("\n".join(f"              | {line}" for line in done.said.strip().splitlines()[:12]))
        slow = sum(second >= LIMIT_S for second in seconds)
        print(
            f"{len(seconds)} mistakes, {wrong} answered wrongly, {slow} at {LIMIT_S:g} s or more; processor time "
            f"{sorted(seconds)[len(seconds) // 2]:.2f} s in the median, {max(seconds):.2f} s at most; "
            f"{time.monotonic() - started_s:.0f} s in all"
        )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
