"""What the Python functions return where a command writes a JSON document: the document, and a view of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualstream.counting import counted

if TYPE_CHECKING:
    import pandas


class Result(Mapping[str, Any]):
    """A command's document, as ``--json`` prints it. It is read like a dictionary; `repr` is a summary."""

    def __init__(self, document: Mapping[str, Any], path: Path) -> None:
        self._document = document
        self.path = path
        """The file or folder that was written."""

    def __getitem__(self, key: str) -> Any:
        return self._document[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary()}, {str(self.path)!r})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in self.table()
        )
        return f"<p><b>{escape(repr(self))}</b></p><table>{rows}</table>"

    def summary(self) -> str:
        """Return what it holds in a few words."""
        raise NotImplementedError

    def table(self) -> list[list[Any]]:
        """Return the lines of its table; the first one is the head."""
        raise NotImplementedError

    def to_pandas(self) -> pandas.DataFrame:
        """Return the table as a data frame."""
        from dualstream.pipeline.cache.convert import data_frame

        head, *rows = self.table()
        return data_frame({name: [row[at] for row in rows] for at, name in enumerate(head)})


class ManifestResult(Result):
    """A manifest that was written: ``["utterances"]``, ``["splits"]``, counts of labels, what was left out."""

    def summary(self) -> str:
        """Return how many utterances each split has."""
        splits = ", ".join(f"{name} {count}" for name, count in self["splits"].items() if count)
        return f"{counted(self['utterances'], 'utterance')}: {splits}"

    def table(self) -> list[list[Any]]:
        """Return one line per split."""
        return [["split", "utterances"], *([name, count] for name, count in self["splits"].items())]


class CheckResult(Result):
    """What the data doctor found: ``["findings"]``, errors first, ``["unusable"]`` clips, ``["balance"]``."""

    def summary(self) -> str:
        """Return how many findings of each severity there are."""
        counts = ", ".join(counted(count, name) for name, count in self["counts"].items() if count)
        return f"{counted(self['utterances'], 'utterance')}, {counts or 'nothing found'}"

    def table(self) -> list[list[Any]]:
        """Return one line per finding."""
        keys = ["code", "severity", "what", "means"]
        return [[*keys, "cases"], *([*(one[key] for key in keys), len(one["cases"])] for one in self["findings"])]


class ExportResult(Result):
    """A bundle that was written: ``["variant"]``, ``["streams"]``, ``["needs_weights"]``, ``["files"]``."""

    def summary(self) -> str:
        """Return the variant, its models, and the encoder of each stream."""
        streams = ", ".join(f"{name}={encoder}" for name, encoder in self["streams"].items())
        return f"{self['variant']}, {counted(self['models'], 'model')}, {streams}"

    def table(self) -> list[list[Any]]:
        """Return one line per file."""
        return [["file"], *([name] for name in self["files"])]


class ExtractionResult(Result):
    """A cache that was made: ``["made"]``, ``["kept"]`` clips, ``["failed"]`` with reasons, ``["notices"]``."""

    def summary(self) -> str:
        """Return how many utterances there are, how many failed, and the width of each stream."""
        widths = ", ".join(f"{name} {facts.get('width', '')}".strip() for name, facts in self["streams"].items())
        utterances = counted(self["utterances"], "utterance")
        return f"{utterances}, {len(self['failed'])} failed, {widths or 'nothing written'}"

    def table(self) -> list[list[Any]]:
        """Return one line per clip that failed."""
        return [["id", "reason"], *([one["id"], one["reason"]] for one in self["failed"])]


class RunResult(Result):
    """A fitted and scored run: ``["config"]``, ``["scores"]``, ``["history"]``, ``["test_log"]``."""

    def summary(self) -> str:
        """Return the variant, what it was scored on, and the scores."""
        return f"{self['config']['variant']}, {_scored(self['scores'])}"

    def table(self) -> list[list[Any]]:
        """Return one line per task and metric."""
        return _score_table(self["scores"])


class EvaluationResult(Result):
    """A run's scores on a split: ``["scores"]``, ``["times_before"]`` (of the test split), ``["warnings"]``."""

    def summary(self) -> str:
        """Return the variant, what it was scored on, and the scores."""
        return f"{self['variant']}, {_scored(self['scores'])}"

    def table(self) -> list[list[Any]]:
        """Return one line per task and metric."""
        return _score_table(self["scores"])


class ComparisonResult(Result):
    """Variants on the same utterances: ``["rows"]``, ``["tests"]``, ``["best_single"]``, ``["warnings"]``."""

    def summary(self) -> str:
        """Return how many variants there are, and the best one of each task."""
        metric = self["metric"]
        words = [f"{counted(len(self['rows']), 'variant')} scored on {self['split']}"]
        for task in self._tasks():
            scored = [row for row in self["rows"] if task in ((row["scores"] or {}).get("tasks") or {})]
            best = max(scored, key=lambda row: row["scores"]["tasks"][task][metric]["mean"])
            words.append(f"best {task}: {best['variant']} {best['scores']['tasks'][task][metric]['mean']:.3f}")
        return ", ".join(words)

    def table(self) -> list[list[Any]]:
        """Return one line per variant, best first among single streams and among fusions."""
        metric, tasks = self["metric"], self._tasks()
        lines: list[list[Any]] = [
            ["variant", "status", "reason", *(f"{task}_{metric}" for task in tasks), "fit_s"]
        ]
        for row in self["rows"]:
            scores = (row["scores"] or {}).get("tasks") or {}
            means = [scores[task][metric]["mean"] if task in scores else None for task in tasks]
            lines.append([row["variant"], row["status"], row["reason"], *means, row["fit_s"]])
        return lines

    def _tasks(self) -> list[str]:
        rows = [row["scores"]["tasks"] for row in self["rows"] if row["scores"]]
        return list(dict.fromkeys(task for tasks in rows for task in tasks))


class DiagnosisResult(Result):
    """Why a fusion fails: ``["causes"]``, the most important first, and ``["evidence"]``."""

    def summary(self) -> str:
        """Return the causes that were found."""
        return f"causes: {', '.join(cause['name'] for cause in self['causes']) or 'none'}"

    def table(self) -> list[list[Any]]:
        """Return one line per cause."""
        keys = ["name", "text", "effect", "advice"]
        return [keys, *([cause[key] for key in keys] for cause in self["causes"])]


def _scored(scores: Mapping[str, Any]) -> str:
    words = [f"{counted(scores['utterances'], 'utterance')} of {scores['split']}"]
    for task, one in scores["tasks"].items():
        words.append(f"{task} UAR {one['balanced_accuracy']['mean']:.3f}")
    return ", ".join(words)


def _score_table(scores: Mapping[str, Any]) -> list[list[Any]]:
    lines: list[list[Any]] = [["task", "metric", "mean", "low", "high"]]
    for task, one in scores["tasks"].items():
        for metric, value in one.items():
            if isinstance(value, Mapping) and {"mean", "interval"} <= value.keys():
                low, high = value["interval"] or (None, None)
                lines.append([task, metric, value["mean"], low, high])
    return lines
