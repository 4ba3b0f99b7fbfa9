"""The model card of a bundle: what it was fitted on, how it scored, and what it must not be used for."""

from __future__ import annotations

from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import TASKS
from dualstream.pipeline.bundles.manifest import BundleManifest, BundleStream
from dualstream.pipeline.experiments.run_config import RunConfig
from dualstream.pipeline.experiments.scores import SplitScores
from dualstream.pipeline.reporting.front_matter import front_matter
from dualstream.pipeline.reporting.tables import (
    METRICS,
    PER_CENT,
    estimate_cell,
    majority_cell,
    majority_rows,
    presence_words,
)

from dualstream.counting import counted

FORBIDDEN = (
    "Decisions about a person: hiring, promotion, admission, grading, credit, insurance, policing, migration, "
    "custody, health.",
    "Inferring the feelings of people at work or in education; the European Union forbids that but for medical "
    "and safety reasons (Regulation 2024/1689, Article 5(1)(f)).",
    "Watching people who were not asked, or telling whether someone lies, is fit for something, or means harm.",
)

SPEAKERS = (
    "- Heads read speaker-normalised rows: the scores above are transductive, of all of a speaker's held-out "
    "utterances, unlabelled, as one batch. A clip alone, or one whose speaker is not named, is normalised by the "
    "training speakers' rows, which count for up to {weight:g} utterances, and gains nothing; nor do a speaker's "
    "clips that are all of one class."
)


def model_card(
    *,
    manifest: BundleManifest,
    config: RunConfig,
    held_out: SplitScores,
    seeds: SplitScores,
    test: SplitScores | None,
    test_looks: int,
) -> str:
    """Return the card as Markdown, with the front matter that the Hub reads.

    Parameters
    ----------
    manifest
        The bundle's config.json.
    config
        The run's.
    held_out
        Scores of what the bundle answers (the mean of the seeds) on what was held out.
    seeds
        The run's own scores there: mean and spread over the seeds.
    test
        Scores that `evaluate` last gave on the test split; None: it was not looked at.
    test_looks
        How often that split was scored.
    """
    lines = [
        *front_matter(manifest, config, [held_out] if test is None else [held_out, test]),
        *_fitted_on(manifest, config),
        *_scored(manifest, config, held_out, seeds, test, test_looks),
        *_calibration(manifest),
        *_use(config, held_out),
        *_licences(manifest),
    ]
    return "\n".join(lines)


def _fitted_on(manifest: BundleManifest, config: RunConfig) -> list[str]:
    fitted = config.fitted_on
    lines = [
        f"# {_cell(manifest.variant)}: emotion and sentiment of spoken clips",
        "",
        f"Made by dualstream's `export` of a run fitted {config.created}. Input: video, audio or both, no "
        "text. Output: a label of each task with calibrated probabilities.",
        "",
        *(line for text in manifest.warnings for line in (f"**Warning: {_cell(text)}.**", "")),
        "## What it was fitted on",
        "",
        f"{counted(fitted.utterances, 'utterance')} (sha256 over their ids {fitted.sha256[:16]}…); "
        f"{_cell(config.protocol)}.",
        "",
    ]
    for task in TASKS:
        names, counts = manifest.vocabulary[task], fitted.counts[task]
        if sum(counts):
            said = ", ".join(f"{_cell(name)} {count}" for name, count in zip(names, counts, strict=True))
            lines += [f"- {task}: {said}"]
    lines += ["", "Features:", ""]
    for name, one in manifest.streams.items():
        lines.append(f"- {name}: {_encoder(one)}")
    lines += [
        "",
        f"Windows of {manifest.recipe['windows']['length_s']:g} s each "
        f"{manifest.recipe['windows']['hop_s']:g} s, frames {_cell(manifest.recipe['sampling'])}; "
        f"fingerprint {manifest.fingerprint}.",
        "",
    ]
    return lines


def _scored(
    manifest: BundleManifest,
    config: RunConfig,
    held_out: SplitScores,
    seeds: SplitScores,
    test: SplitScores | None,
    test_looks: int,
) -> list[str]:
    lines = [
        "## How it scored",
        "",
        f"Held out: {counted(held_out.utterances, 'utterance')} ({_cell(held_out.split)}). "
        + _interval_words(held_out)
        + " Per cent but for the log loss (nats). "
        + flattered(seeds, config, calibrated=any(one.utterances for one in manifest.calibration.values())),
        "",
    ]
    lines += _table(held_out, seeds, "what the bundle answers (mean of the seeds)", "single seeds, ± over them")
    if test is None:
        lines += ["The test split was not looked at.", ""]
    else:
        lines += [
            f"Test split, {counted(test.utterances, 'utterance')}, scored {counted(test_looks, 'time')}"
            " with `evaluate`:",
            "",
            *_table(test, None, "the run as evaluated", ""),
        ]
    return lines


def _calibration(manifest: BundleManifest) -> list[str]:
    lines = ["## Calibration", ""]
    for task, how in manifest.calibration.items():
        if how.log_loss is not None:
            before, after = how.log_loss
            lines.append(
                f"- {task}: log-probabilities times {how.sharpness:.3f}, fitted on {how.utterances} "
                f"held-out answers ({_cell(how.split)}): log loss {before:.3f} → {after:.3f} there"
            )
        else:
            lines.append(f"- {task}: not calibrated, nothing held out is labelled")
    return lines


def _use(config: RunConfig, held_out: SplitScores) -> list[str]:
    return [
        "",
        "The probabilities are meant for clips like those that were held out; on others they may be far too sure.",
        "",
        "## What it is for",
        "",
        "Research on corpora of its own kind, and a first look at recordings of people who agreed to it. It tells "
        "which label annotators would likely give to what is seen and heard, not what a person feels.",
        "",
        "## What it must not be used for",
        "",
        *(f"- {text}" for text in FORBIDDEN),
        "",
        "## Limits",
        "",
        "- Other speakers, languages, cameras, microphones and cultures than those it was fitted on: expect "
        "scores nearer to the majority class. Scores by group of people were not measured.",
        "- Classes with few training utterances (above) are hardly ever answered rightly.",
        "- Where a stream is missing, the answer rests on the other one, and says so.",
        *([] if config.speaker_prior is None else [SPEAKERS.format(weight=config.speaker_prior.weight)]),
        *(f"- {_cell(text)}" for text in held_out.warnings),
        "",
    ]


def _licences(manifest: BundleManifest) -> list[str]:
    licences = {weights["licence"] for one in manifest.streams.values() if (weights := one.spec["weights"])}
    if not licences:
        return []
    return ["## Licences of the encoders' weights", "", *(f"- {_cell(text)}" for text in sorted(licences)), ""]


def _table(first: SplitScores, second: SplitScores | None, name: str, second_name: str) -> list[str]:
    lines = []
    for task, score in first.tasks.items():
        heads = [head for _, head in METRICS]
        lines += [f"{task.capitalize()}:", "", f"| | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
        for constant, line in majority_rows(score.majority, score.train_majority, "majority class"):
            shown = " | ".join(majority_cell(line, key) for key, _ in METRICS)
            lines.append(f"| {_cell(constant)} | {shown} |")
        for row, scores in ((name, first), (second_name, second)):
            if scores is not None and task in scores.tasks:
                cells = [
                    estimate_cell(scores.tasks[task].metric(key), per_cent=key in PER_CENT) for key, _ in METRICS
                ]
                lines.append(f"| {row} | {' | '.join(_cell(cell) for cell in cells)} |")
        words = presence_words(score.count, score.without_features)
        lines += ["", f"Scored: {_cell(words)}.", ""] if words else [""]
    return lines


def flattered(seeds: SplitScores, config: RunConfig, *, calibrated: bool) -> str:
    """Return what of the fit was chosen on the held-out utterances."""
    facts = ["the temperature was fitted on these utterances"] if calibrated else []
    fitted = config.variant if config.choice is None else config.choice.name
    by_dev = config.folds is None and config.options.patience > 0
    if by_dev and config.choice is not None:
        facts.append("auto chose the variant by their labels among others")
    if by_dev and not registry.is_closed_form(fitted):
        if seeds.stopped_by:
            facts.append(f"{seeds.stopped_by} said when training was to stop")
        elif not seeds.states_stopping:  # runs of versions that did not note it
            facts.append("they may have said when training was to stop")
    if not facts:
        return "Nothing was fitted, chosen or stopped by these utterances."
    words = facts[0] if len(facts) == 1 else f"{', '.join(facts[:-1])}, and {facts[-1]}"
    return f"{words[0].upper()}{words[1:]}, so they flatter a little."


def _interval_words(scores: SplitScores) -> str:
    one = next(iter(scores.tasks.values()))
    if one.accuracy.interval is None:
        return "There are too few groups for an interval."
    return f"In brackets: 95 % interval by a bootstrap over {one.groups} {scores.unit}s."


def _encoder(one: BundleStream) -> str:
    spec, projection = one.spec, one.projection
    text = f"{_cell(spec['name'])} (version {spec['version']}), {counted(spec['raw_width'], 'column')}"
    if projection:
        text += f", brought to {spec['width']} by a {projection.kind} projection"
    weights = spec["weights"]
    if weights is None:
        return f"{text}; no weights"
    where = "in this bundle" if one.carried else "not in this bundle"
    if str(weights["source"]).startswith("random:"):
        where = "drawn anew from the seed"
    return f"{text}; weights {_cell(weights['source'])}, sha256 {weights['sha256']}, {where}"


def _cell(text: object) -> str:
    """Return text that Markdown takes as it is, on one line; the second line of a score goes into brackets."""
    first, _, second = str(text).partition("\n")
    joined = f"{first} [{second}]" if second else first
    printable = "".join(ch if ch.isprintable() else " " for ch in joined)
    for mark in "\\`*_|<>#":
        printable = printable.replace(mark, f"\\{mark}")
    return printable
