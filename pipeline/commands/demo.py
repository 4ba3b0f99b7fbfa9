"""demo: draw a small corpus laid out as MELD is, then run the whole job on it, command by command.

The commands run as a user would type them, each one shown first. The corpus is synthetic and says so.
"""

from __future__ import annotations

import csv
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import typer
from dualstream.features import media
from dualstream.pipeline.corpus.synthetic import (
    EXPRESSIONS,
    FRAME_RATE_HZ,
    SAMPLE_RATE_HZ,
    Script,
    Speaker,
    perform,
)
from dualstream.pipeline.errors import DualstreamError, UsageError
from dualstream.pipeline.options.corpus import DemoCommand, DemoOptions
from dualstream.pipeline.options.emit import CommandResult, said_before
from dualstream.pipeline.storage.folders import make_folder

from dualstream.counting import counted

MARKER = "SYNTHETIC.txt"  # names a folder as ours: only such a folder is ever replaced
SPLITS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
SHARES = {"train": 4, "dev": 1, "test": 1}  # dialogues of each split, of six
LEAST_DIALOGUES = 9  # eight of them are of train and dev: two for each fold of the diagnosis
SENTIMENT = {"neutral": "neutral", "joy": "positive"}  # surprise is either; all others are negative
TABLE_COLUMNS = (
    "Sr No.",
    "Utterance",
    "Speaker",
    "Emotion",
    "Sentiment",
    "Dialogue_ID",
    "Utterance_ID",
    "Season",
    "Episode",
    "StartTime",
    "EndTime",
)


@dataclass(frozen=True)
class ScriptedClip:
    """One clip of the demo corpus: where it goes, and what is to happen in it."""

    split: str
    dialogue: int
    turn: int
    speaker: str
    sentiment: str
    script: Script
    seed: tuple[int, int, int]

    @property
    def path(self) -> str:
        """Path below the corpus, as MELD.Raw has it."""
        return f"{SPLITS[self.split]}/dia{self.dialogue}_utt{self.turn}.mp4"


def run(options: DemoCommand) -> CommandResult:
    """Do what the command line asks, each line said when it is due."""
    page = main(options.out, options.corpus, _say, common=_common(options))
    _say(f"\nDone. Open {page}")
    return said_before()


def _say(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()


def _common(options: DemoCommand) -> list[str]:
    """Return those of the options of every command that the commands of the demo are given too."""
    return [*(["--quiet"] if options.quiet else []), *["--verbose"] * options.verbose]


def main(out: Path, options: DemoOptions, say: Callable[[str], None], *, common: Sequence[str] = ()) -> Path:
    """Make the corpus in `out`, run every step on it with the options `common`, and return the report to open.

    Raises
    ------
    UsageError
        Where `out` holds something that no demo made.
    DualstreamError
        Where a command failed; the message names it.
    """
    if options.dialogues < LEAST_DIALOGUES:
        raise UsageError(f"a demo of {counted(options.dialogues, 'dialogue')}; expected {LEAST_DIALOGUES} or more")
    _claim(out)
    corpus = out / "corpus"
    clips = list(plan_corpus(options))
    say(f"Drawing {counted(len(clips), 'clip')} of a synthetic face and voice into {corpus} ...")
    draw_corpus(corpus, clips, options)
    for words in commands(out):
        run_command([*words, *common], say)
    return out / "diagnosis" / "report.html"


def commands(out: Path) -> Iterator[list[str]]:
    """Yield the commands of the demo, as they are typed after `dualstream`."""
    corpus, manifest = str(out / "corpus"), str(out / "manifest.csv")
    dense, starved = str(out / "cache.h5"), str(out / "every3.h5")
    encoder = ["--video", "cnn5", "--video-weights", "random:0"]
    run = str(out / "runs" / "late")
    yield ["manifest", "meld", corpus, "--out", manifest, "--replace"]
    yield ["check", manifest, "--root", corpus]
    yield ["extract", manifest, "--root", corpus, "--out", dense, *encoder]
    yield ["inspect", dense, "--verify"]
    compared = "concat,concat_norm,aligned,linear,linear_late"
    yield ["compare", dense, "--fusions", compared, "--seeds", "2", "--out", str(out / "compare"), "--replace"]
    yield ["fit-head", dense, "--fusion", "linear_late", "--out", run, "--replace"]
    yield ["evaluate", run, "--split", "test"]
    # The failure that this project began with: one frame each 3 s joined with sound of the whole clip
    yield ["extract", manifest, "--root", corpus, "--out", starved, "--sampling", "every:3", *encoder]
    diagnosis = ["diagnose", starved, "--fusion", "concat_norm", "--against", dense, "--seeds", "1"]
    yield [*diagnosis, "--out", str(out / "diagnosis")]


def plan_corpus(options: DemoOptions) -> Iterator[ScriptedClip]:
    """Yield the clips of the corpus: speakers, emotions and the burst in which the emotion shows."""
    rng = np.random.default_rng(options.seed)
    whole = sum(SHARES.values())
    wheel = [split for split, share in SHARES.items() for _ in range(share)]
    counts = dict.fromkeys(SPLITS, 0)
    for number in range(options.dialogues):
        split = wheel[number % whole]
        dialogue = counts[split]
        counts[split] += 1
        pair = rng.choice(10, size=2, replace=False)
        for turn, emotion in enumerate(rng.permutation(list(EXPRESSIONS))):
            duration_s = float(np.round(rng.uniform(2.4, 3.6), 2))
            length_s = rng.uniform(0.8, 1.1)
            start_s = rng.uniform(0.35, duration_s - length_s - 0.1)
            sentiment = SENTIMENT.get(emotion, "negative")
            if emotion == "surprise":
                sentiment = str(rng.choice(["positive", "negative"]))
            yield ScriptedClip(
                split=split,
                dialogue=dialogue,
                turn=turn,
                speaker=f"Speaker {pair[turn % 2]}",
                sentiment=sentiment,
                script=Script(str(emotion), duration_s, float(start_s), float(start_s + length_s)),
                seed=(options.seed, number, turn),
            )


def draw_corpus(corpus: Path, clips: list[ScriptedClip], options: DemoOptions) -> None:
    """Write clips and annotation tables below `corpus`, laid out as MELD.Raw is."""
    for folder in SPLITS.values():
        (corpus / folder).mkdir(parents=True, exist_ok=True)
    names = sorted({clip.speaker for clip in clips})
    cast = {name: Speaker.draw(np.random.default_rng((options.seed, i))) for i, name in enumerate(names)}

    def draw(clip: ScriptedClip) -> None:
        frames, audio = perform(clip.script, cast[clip.speaker], np.random.default_rng(clip.seed))
        media.write_clip(corpus / clip.path, frames, FRAME_RATE_HZ, audio, SAMPLE_RATE_HZ)

    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(draw, clips))
    for split in SPLITS:
        _write_table(corpus / f"{split}_sent_emo.csv", [clip for clip in clips if clip.split == split])


def run_command(words: list[str], say: Callable[[str], None]) -> None:
    """Run one command of the command line in a process of its own, its words shown first."""
    say(f"\n$ dualstream {shlex.join(words)}")
    sys.stdout.flush()
    # COLUMNS: what comes through a pipe is as wide as a page
    environment = {**os.environ, "COLUMNS": os.environ.get("COLUMNS", "110")}
    done = subprocess.run([sys.executable, "-m", "dualstream", *words], check=False, env=environment)
    if done.returncode != 0:
        raise DualstreamError(f"`{words[0]}` ended with status {done.returncode}; its own words stand above")


def _claim(out: Path) -> None:
    marker = out / MARKER
    make_folder(out)
    if any(out.iterdir()) and not marker.exists():
        raise UsageError(f"{out} holds files that no demo made; name another folder with --out")
    marker.write_text(
        "This folder was made by `dualstream demo`. Faces and voices are drawn by a program:\n"
        "nothing in it says anything about people, and its scores are no results.\n"
    )


def _write_table(path: Path, clips: list[ScriptedClip]) -> None:
    clock_s = 60.0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(TABLE_COLUMNS)
        for number, clip in enumerate(clips, start=1):
            end_s = clock_s + clip.script.duration_s
            writer.writerow(
                [
                    number,
                    f"(synthetic line {number})",
                    clip.speaker,
                    clip.script.emotion,
                    clip.sentiment,
                    clip.dialogue,
                    clip.turn,
                    list(SPLITS).index(clip.split) + 1,  # a season a split: no episode is shared
                    clip.dialogue + 1,
                    _stamp(clock_s),
                    _stamp(end_s),
                ]
            )
            clock_s = end_s + 0.5


def _stamp(time_s: float) -> str:
    milliseconds = round(time_s * 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{milliseconds:03d}"
