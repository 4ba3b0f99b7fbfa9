"""Stage 1 on a bare box with a GPU: does it work, is it right, is the GPU fed, and how long would MELD take?

    python benchmarks/gpu_box.py [--device cuda] [--clips 600] [--few 16] [--workers 16] [--limit-s 440]
    python benchmarks/gpu_box.py --device cpu --video cnn5 --clips 6 --few 2      tries it anywhere

Needs Python, torch, torchvision, h5py, scikit-learn, typer and rich on the box, and as wheels where it has no
network: imageio-ffmpeg 0.6.0 with ffmpeg-python and future for `--decoder ffmpeg`, av for `pyav` and `nvdec`;
beside either librosa, soundfile, cffi, pycparser, soxr, audioread, pooch, platformdirs, lazy_loader, decorator,
threadpoolctl, annotated-types, safetensors (unpacked and packed again by xz they take 48 MB). Each decoder that is
there is measured; `hf` where transformers is.

It makes clips as MELD's (1280x720, 27021/1127 fps, AAC 5.1), extracts them through the command line, tells each
part on standard error as it ends, and prints one JSON document. A part is skipped once the limit has passed; one
that fails is recorded, and the next one runs.
`ratios` has what is claimed, `parts` what it follows from:

meld_s                 13,708 clips with vgg16 bf16 and acoustic (goal 120 or less): what a run over a quarter of
                       the clips takes, and the rest at the pace of those that all of them are more
fed                    bare forward passes of the same batches over the run of batches from memory (goal 0.9)
gpu_busy_percent       mean of nvidia-smi over the longest part
parent_ms_per_clip     the run's own processor time for one of these, without its workers and ffmpegs
same_bytes_twice       two runs on the device
largest_difference     to the CPU's fp32 rows, over the largest entry
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from checkout import ROOT
from gpu_box_clips import has_ffmpeg, has_pyav, make_corpus, make_hf

MELD_CLIPS = 13_708
FRAMES_A_CLIP = 6
MPS = "nvidia-cuda-mps-control"
TIMES = ("s", "own_cpu_s", "children_cpu_s")
START = time.monotonic()
MEASURED = """
import atexit, json, resource, runpy, sys
def note():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    values = [[one.ru_utime + one.ru_stime, one.ru_maxrss // 1024] for one in used]
    open(PATH, "w").write(json.dumps(dict(zip(("own", "children"), values))))
PATH, sys.argv = sys.argv[1], sys.argv[2:]
atexit.register(note)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def main() -> None:
    """Measure what there is time for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--video", default="vgg16", help="the network; cnn5 for a trial on a CPU")
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--few", type=int, default=16, help="clips that the CPU does too")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="names of parts, with commas between them; default: all")
    parser.add_argument("--limit-s", type=float, default=440)
    box = Box(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the report comes all the same
    try:
        box.run()
    finally:
        report = {"ratios": box.ratios(), "seconds": round(time.monotonic() - START, 1), "parts": box.parts}
        print(json.dumps(report, indent=1))
        shutil.rmtree(box.work, ignore_errors=True)


class Box:
    """The parts of one run, in the order of their worth."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.told = told
        self.work = Path(tempfile.mkdtemp(prefix="gpu_box_"))
        self.parts: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        compiled = self.work / "compiled"  # of packages without byte code, as no user has them
        self.environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled)}
        on_gpu = has_pyav() and told.device != "cpu"
        there = {"nvdec": on_gpu, "pyav": has_pyav(), "ffmpeg": has_ffmpeg()}
        self.decoders = [name for name, is_there in there.items() if is_there]

    def run(self) -> None:
        """Do all parts."""
        told, device = self.told, self.told.device
        self.part("box", describe)
        self.counts = {"many": told.clips, "some": told.clips // 4, "few": told.few}
        self.part("clips", lambda: make_corpus(self.work, self.counts, told.workers))
        alone = ("--video", told.video, "--audio", "none", "--precision", "bf16")
        self.extract("few", "first", device, *alone, decoder=self.decoders[0])  # compiles what is imported
        for decoder in self.decoders:
            self.whole(decoder)
            self.whole(decoder, "fast")
        if "nvdec" in self.decoders:  # where workers wait for the engine
            self.whole("nvdec", workers=2 * told.workers)
            if shutil.which(MPS):
                with one_context(self.work) as places:
                    self.environment |= places
                    self.whole("nvdec", under="mps")
                self.environment = {key: one for key, one in self.environment.items() if key not in places}
        self.part("fed", lambda: fed(device, told.video, told.clips))
        for precision in ("fp32", "bf16"):
            self.agreement(precision)
        fast = ["pyav" if has_pyav() else "ffmpeg"]
        for decoder in fast:
            self.extract("many", f"bf16_{decoder}", device, *alone, decoder=decoder)
            self.extract(
                "many", f"acoustic_{decoder}", "cpu", "--video", "none", "--audio", "acoustic", decoder=decoder
            )
            cnn5 = ("--video", "cnn5", "--audio", "none")
            self.extract("many", f"cnn5_{decoder}", device, *cnn5, decoder=decoder)
        if importlib.util.find_spec("transformers"):
            self.part("hf_folders", lambda: make_hf(self.work))
            hears = ("--video", "none", "--audio", f"hf:{self.work / 'tiny-whisper'}")
            sees = ("--video", f"hf:{self.work / 'vit'}", "--audio", "none", "--precision", "bf16")
            self.extract("many", "hf_sound", device, *hears, decoder=fast[0])
            self.extract("many", "hf_picture", device, *sees, decoder=fast[0])
        if "ffmpeg" in self.decoders:  # training reads clips by ffmpeg alone
            words = ["train-encoder", self.work / "many.csv", "--root", self.work / "many", "--encoder", "cnn5",
                     "--device", device, "--epochs", 2, "--out", self.work / "cnn5.safetensors"]  # fmt: skip
            self.part("train_cnn5", lambda: self.command(words))
        self.part("answers", self.answers)

    def whole(self, decoder: str, speed: str = "exact", workers: int | None = None, under: str = "") -> None:
        """Extract both streams, of a quarter of the clips and of all."""
        how = ("--video", self.told.video, "--audio", "acoustic", "--precision", "bf16", "--decode", speed)
        name = decoder + ("_fast" if speed == "fast" else "") + (f"_{workers}_workers" if workers else "")
        name += f"_{under}" if under else ""
        for corpus, part in (("some", "start"), ("many", "bf16_acoustic")):
            device = self.told.device
            self.extract(corpus, f"{part}_{name}", device, *how, decoder=decoder, workers=workers)

    def part(self, name: str, task: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do one part, unless the time is up; note what it gave, or how it failed."""
        if self.told.only and name not in self.told.only.split(","):
            return {}
        if self.left_s <= 0:
            self.parts[name] = {"skipped": "no time left"}
        else:
            try:
                self.parts[name] = task()
            except Exception:  # noqa: BLE001  # the next part may work
                self.parts[name] = {"failed": traceback.format_exc()[-1500:]}
        print(name, json.dumps(self.parts[name]), file=sys.stderr, flush=True)  # whatever becomes of the rest
        return dict(self.parts[name])

    @property
    def left_s(self) -> float:
        """Seconds until the limit."""
        return float(self.told.limit_s) - (time.monotonic() - START)

    def extract(
        self, corpus: str, name: str, device: str, *more: str, decoder: str, workers: int | None = None
    ) -> dict[str, Any]:
        """Extract a corpus by the command line into NAME.h5."""
        place = ["--root", self.work / corpus, "--out", self.work / f"{name}.h5"]
        how = ["--device", device, "--workers", workers or self.told.workers, "--decoder", decoder]
        words = ["extract", self.work / f"{corpus}.csv", *place, *how, *more]
        if more[1] != "none" and not more[1].startswith("hf:"):
            words += ["--video-weights", "random:0"]

        def task() -> dict[str, Any]:
            found = self.command(words)
            start = self.parts.get(name.replace("bf16_acoustic", "start"), {})
            if corpus != "many" or "s" not in start:
                return found
            more = self.counts["many"] - self.counts["some"]
            beyond = {key: (found[key] - start[key]) / more for key in TIMES}
            return found | {
                "clips_per_s": round(1 / beyond["s"], 2),
                "meld_s": round(start["s"] + (MELD_CLIPS - self.counts["some"]) * beyond["s"]),
                "parent_ms_per_clip": round(1000 * beyond["own_cpu_s"], 2),
                "children_ms_per_clip": round(1000 * beyond["children_cpu_s"], 2),
            }

        return self.part(name, task)

    def agreement(self, precision: str) -> None:
        """Extract a few clips twice on the device and once on the CPU, and compare."""
        names = [f"few_{precision}_{which}" for which in ("a", "b", "cpu")]
        for name in names:
            device = "cpu" if name.endswith("cpu") else self.told.device
            wanted = (
                "--video",
                self.told.video,
                "--audio",
                "none",
                "--precision",
                precision,
                "--projection",
                "none",
            )
            self.extract("few", name, device, *wanted, decoder=self.decoders[-1])
        self.part(f"agreement_{precision}", lambda: compared(*(self.work / f"{name}.h5" for name in names)))

    def answers(self) -> dict[str, Any]:
        """Fit a head on what the device saw, and ask its bundle about clips on the device and on the CPU."""
        cache = next(self.work.glob("bf16_acoustic_*.h5"))
        run, bundle = self.work / "run", self.work / "bundle"
        self.command(["fit-head", cache, "--fusion", "concat_norm", "--out", run, "--epochs", 2])
        self.command(["export", run, "--out", bundle])
        found = {}
        for device in (self.told.device, "cpu"):
            out = self.work / f"answers{len(found)}.csv"
            asked = ["predict", bundle, self.work / "few", "--device", device, "--csv", out]
            found[f"{device}{len(found)}"] = self.command(asked) | {"rows": probabilities(out)}
        one, other = (part.pop("rows") for part in found.values())
        return found | {"largest_difference": float(np.abs(one - other).max()), "rows": len(one)}

    def command(self, words: list[Any]) -> dict[str, Any]:
        """Run a command of the project; return its seconds, processor seconds, and how busy the GPU was."""
        note = self.work / "used.json"
        note.unlink(missing_ok=True)
        busy, started = Busy(), time.monotonic()
        line = [sys.executable, "-c", MEASURED, note, ROOT / "cli.py", *words]
        try:
            done = subprocess.run(list(map(str, line)), cwd=ROOT, env=self.environment, capture_output=True,
                                  text=True, timeout=max(30.0, self.left_s))  # fmt: skip
        finally:
            busy.over.set()
        seconds = time.monotonic() - started
        if done.returncode:
            raise RuntimeError(f"status {done.returncode}: {(done.stdout + done.stderr)[-800:]}")
        used = json.loads(note.read_text())
        return {
            "s": round(seconds, 2),
            "own_cpu_s": round(used["own"][0], 2),
            "children_cpu_s": round(used["children"][0], 2),
            "peak_mb": used["own"][1],
            "gpu_busy_percent": round(statistics.mean(busy.samples), 1) if busy.samples else None,
        }

    def ratios(self) -> dict[str, Any]:
        """Return what is claimed of the box, as far as it was measured."""
        found: dict[str, Any] = {"fed": self.parts.get("fed", {}).get("ratio")}
        for name, part in self.parts.items():
            if "meld_s" in part:
                keys = ("meld_s", "clips_per_s", "parent_ms_per_clip", "gpu_busy_percent")
                found[name] = {key: part[key] for key in keys}
            if name.startswith("agreement"):
                found[name] = part
        return found


@contextlib.contextmanager
def one_context(work: Path) -> Iterator[dict[str, str]]:
    """Let processes share one context on the GPU while a block lasts; yield the variables by which they find it.

    Without it the GPU serves one process after the other, each for some milliseconds.
    """
    places = {f"CUDA_MPS_{name}_DIRECTORY": str(work / f"mps_{name.lower()}") for name in ("PIPE", "LOG")}
    for place in places.values():
        os.makedirs(place, exist_ok=True)
    how: dict[str, Any] = {"env": {**os.environ, **places}, "capture_output": True, "text": True, "timeout": 20}
    print("mps", subprocess.run([MPS, "-d"], **how), file=sys.stderr, flush=True)
    try:
        yield places
    finally:
        subprocess.run([MPS], input="quit\n", **how)


class Busy(threading.Thread):
    """Ask nvidia-smi twice a second how busy the GPU is."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[int] = []
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        """Note what it says until all is over."""
        while not self.over.wait(0.5) and shutil.which("nvidia-smi"):
            asked = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
            said = subprocess.run(asked, capture_output=True, text=True).stdout.split()
            if said and said[0].isdigit():
                self.samples.append(int(said[0]))


def describe() -> dict[str, Any]:
    """Say what box it is."""
    import torch

    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"python": sys.version.split()[0], "cpus": os.cpu_count(), "torch": torch.__version__, "gpu": name}


def probabilities(table: Path) -> Any:
    """Return the columns of numbers of a table of answers."""
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.startswith("emotion_")]
    return np.array([[float(row[name]) for name in names] for row in rows])


def compared(one: Path, again: Path, cpu: Path) -> dict[str, Any]:
    """Compare two caches of the device with each other, and their rows with the CPU's."""
    import h5py

    rows = []
    for path in (one, cpu):
        with h5py.File(path) as file:
            rows.append(file["streams/video/windows"][:])
    scale = float(np.abs(rows[1]).max())
    return {
        "same_bytes_twice": one.read_bytes() == again.read_bytes(),
        "largest_difference": float(np.abs(rows[0] - rows[1]).max()) / scale,
    }


def fed(device: str, network: str, clips: int) -> dict[str, Any]:
    """Run frames from memory through batches as extract does, and the same batches that are on the device."""
    import torch
    from dualstream.features.batching import FrameBatcher
    from dualstream.features.encoder import EncoderOptions, build
    from dualstream.features.encoders.frozen import preprocess

    encoder: Any = build("video", network, EncoderOptions(weights="random:0", device=device, precision="bf16"))
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    shape = (FRAMES_A_CLIP, encoder.frame_size_px, encoder.frame_size_px, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    batch = np.resize(frames, (encoder.batch_size, *shape[1:]))
    count = max(1, clips * FRAMES_A_CLIP // encoder.batch_size) * encoder.batch_size

    def pipeline() -> float:
        batcher, started = FrameBatcher({"video": encoder}), time.monotonic()
        for _ in range(count // FRAMES_A_CLIP):
            batcher.add(frames)
        batcher.finish()
        return time.monotonic() - started

    def bare() -> float:
        there, mean, std = torch.from_numpy(batch).to(device), encoder._mean, encoder._std
        wait()
        started = time.monotonic()
        with torch.inference_mode(), torch.autocast(there.device.type, dtype=torch.bfloat16):
            for _ in range(count // encoder.batch_size):
                encoder.network(preprocess(there, encoder.frame_size_px, mean, std))
        wait()
        return time.monotonic() - started

    on_gpu = device.startswith("cuda")
    if on_gpu:
        pipeline()  # kernels are chosen and memory is taken
    pairs = [(pipeline(), bare()) for _ in range(3 if on_gpu else 1)]
    return {
        "frames": count,
        "frames_per_s": round(count / statistics.median(one for one, _ in pairs)),
        "bare_frames_per_s": round(count / statistics.median(one for _, one in pairs)),
        "ratio": round(statistics.median(other / one for one, other in pairs), 3),
    }


if __name__ == "__main__":
    main()
