"""What `inspect` found in a cache, as text for a person."""

from __future__ import annotations

from collections import Counter

from dualstream.features.faces.rows import STATES
from dualstream.features.projection import PCA, TURNED
from dualstream.heads.evaluation.majority import Majority
from dualstream.pipeline.experiments.inspection import InspectReport, LabelReport, StreamReport
from dualstream.pipeline.provenance import IdentityDocument

from dualstream.counting import counted
from dualstream.documents import JsonObject

SHOWN = 20
MAJORITY_SCORES = (
    ("accuracy", "majority accuracy"),
    ("balanced_accuracy", "  UAR"),
    ("weighted_f1", "  weighted F1"),
    ("macro_f1", "  macro F1"),
)


def describe(report: InspectReport) -> str:
    """Return the report as text for a person."""
    lines = [
        f"{report.cache}: {counted(report.utterances, 'utterance', ',')}, "
        f"{counted(report.windows, 'window', ',')}, {report.seconds_of_clips / 3600:.2f} hours of clips, "
        f"{report.bytes / 1e6:.1f} MB",
        f"fingerprint {report.fingerprint}",
    ]
    recipe = report.recipe
    if recipe:
        windows = recipe.get("windows", {})
        decoder = "no clip is read" if recipe.get("decoder") is None else f"decoder {recipe['decoder']}"
        facts = [f"sampling {recipe.get('sampling')}", decoder]
        facts += [] if recipe.get("device") is None else [f"{recipe['device']} {recipe.get('precision')}"]
        lines.append(f"windows {windows.get('length_s')} s each {windows.get('hop_s')} s, {', '.join(facts)}")
    for name, stream in report.streams.items():
        lines += ["", *_stream_lines(name, stream)]
    if report.identity is not None:
        lines += ["", _identity_line(report.identity)]
    for task, labels in report.labels.items():
        lines += ["", *_label_lines(task, labels)]
    lines += _listed("failed", [(one.id, one.reason) for one in report.failed])
    lines += _listed("read, with something odd", [(one.id, one.note) for one in report.odd])
    lines += ["", *(f"warning: {text}" for text in report.warnings)] if report.warnings else []
    if report.verified is not None:
        lines += ["", *(f"verified: {text}" for text in report.verified)]
        lines += [f"not verified: {text}" for text in report.not_verified or ()]
    return "\n".join(lines)


def _listed(what: str, clips: list[tuple[str, str]]) -> list[str]:
    """Return the lines of clips with a word on each, the first of them; none where there are none."""
    if not clips:
        return []
    lines = ["", f"{what}: {len(clips):,} of the clips", *(f"  {name}: {why}" for name, why in clips[:SHOWN])]
    return [*lines, f"  … and {len(clips) - SHOWN:,} more: --json lists all"] if len(clips) > SHOWN else lines


def _stream_lines(name: str, stream: StreamReport) -> list[str]:
    weights = stream.weights
    source = f", weights {weights['source']} {str(weights['sha256'])[:12]}…" if weights else ""
    road = ""
    if stream.projection:
        facts = stream.projection
        components = facts["kind"] in (PCA, TURNED)
        road = (
            f", {stream.raw_width} → {counted(stream.width, 'column')} by {PCA if components else facts['kind']}"
        )
        if components:
            road += f" fitted on {facts.get('rows')} {facts.get('split')} rows"
            road += f" ({facts.get('variance_kept', 0):.1%} of the variance kept)"
            road += ", turned" if facts["kind"] == TURNED else ", as they are"
    layers = f" ({stream.layer_words})" if stream.layers else ""
    lines = [f"{name}: {stream.encoder}, {counted(stream.width, 'column')}{layers}{road}{source}"]
    for split, coverage in stream.coverage.items():
        text = f"  {split:<6} {coverage.present:>7,} of {counted(coverage.utterances, 'utterance', ',')}"
        if coverage.windows is not None:
            text += f", {coverage.windows_present:,} of {counted(coverage.windows, 'window', ',')}"
        lines.append(text)
    if stream.faces is not None:
        lines.append(_faces_line(stream.faces))
    return lines


def _faces_line(faces: JsonObject) -> str:
    """Say how many windows show a face, and why the others show none."""
    parts = [f"{counted(faces[state], 'window', ',')} {state}" for state in STATES if state in faces]
    text = f"  faces: {', '.join(parts)}; {faces['several_in_view']:.1%} of the windows have several in view"
    return text + (f", median margin {faces['median_margin']:g}" if "median_margin" in faces else "")


def _identity_line(identity: IdentityDocument) -> str:
    """Say that speaker names were used, and for what."""
    windows = ", ".join(f"{count:,} of {name}" for name, count in identity["windows"].items()) or "0"
    return (
        f"speaker names were used (--identity): fitted on {counted(identity['utterances'], 'utterance', ',')} of "
        f"{identity['split']}; {sum(identity['tied'].values())} of {identity['groups']} groups of faces go with "
        f"{len(identity['tied'])} speakers; windows chosen by it: {windows}"
    )


def _label_lines(task: str, labels: LabelReport) -> list[str]:
    counts, majority = labels.counts, labels.majority
    if majority is None:
        return [f"{task}: no labels"]
    splits = list(counts)
    names = [name for name in counts[splits[0]] if name != "unlabelled"]
    totals = Counter({name: sum(counts[one][name] for one in splits) for name in names})
    width = max(len("majority accuracy"), *(len(name) for name in names))
    lines = [f"{task:<{width}}" + "".join(f"{one:>10}" for one in splits)]
    for name in names:
        if totals[name]:
            lines.append(f"{name:<{width}}" + "".join(f"{counts[one][name]:>10,}" for one in splits))
    if any(counts[one]["unlabelled"] for one in splits):
        lines.append(f"{'(unlabelled)':<{width}}" + "".join(f"{counts[one]['unlabelled']:>10,}" for one in splits))
    of = majority.splits
    for key, title in MAJORITY_SCORES:
        cells = "".join(f"{getattr(of[one].line, key):>10.3f}" if one in of else f"{'—':>10}" for one in splits)
        lines.append(f"{title:<{width}}{cells}")
    for one, found in of.items():
        lines.append(
            f"(majority of {one or 'blank'}: always {found.line.name}{_trains_words(found.train_majority)})"
        )
    if majority.outside_test:
        line = majority.outside_test.line
        lines.append(f"(outside test, as --folds score: always {line.name}, accuracy {line.accuracy:.3f})")
    return lines


def _trains_words(trains: Majority | None) -> str:
    if trains is None:
        return ""
    scores = ", ".join(f"{title.strip()} {getattr(trains, key):.3f}" for key, title in MAJORITY_SCORES)
    return f"; train's commonest, {trains.name}: {scores.replace('majority ', '')}"
