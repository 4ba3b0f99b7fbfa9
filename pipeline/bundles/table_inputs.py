"""Bundles over ready-made tables: new tables of the same columns stand in the place of clips."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dualstream.features.encode import ClipPlan, begin_clip
from dualstream.features.encoder import Encoder, SpecDocument, TableEncoder, is_table
from dualstream.features.encoders.table import feature_table, ids_of
from dualstream.features.encoders.table_reading import TableReading
from dualstream.features.options import LEAST_CONFIDENCE
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.bundles.folder import Bundle
from dualstream.pipeline.bundles.inference import projected
from dualstream.pipeline.bundles.inputs import ROOT_SPLIT, Item, require_unnamed
from dualstream.pipeline.bundles.loaded import LoadedBundle
from dualstream.pipeline.corpus.manifest import InvalidRowError, Utterance, read_manifest
from dualstream.pipeline.errors import FingerprintMismatchError, UsageError
from dualstream.pipeline.experiments import integrity
from dualstream.pipeline.extraction import csd_tables
from dualstream.pipeline.extraction.shards import ClipRows

_UNNAMED = re.compile(r"f\d+")


def is_over_tables(bundle: Bundle) -> bool:
    """Tell whether every stream that a bundle reads is a ready-made table."""
    return all(is_table(one.spec) for one in bundle.streams.values())


def named_tables(bundle: Bundle, texts: Sequence[str]) -> dict[str, Path]:
    """Read ``--table STREAM=FILE`` for each stream of a bundle.

    Raises
    ------
    UsageError
        Where the bundle reads clips, a stream is missing, unknown or named twice, or a file is not there.
    """
    streams = list(bundle.streams)
    if not is_over_tables(bundle):
        made = ", ".join(str(one.spec["name"]) for one in bundle.streams.values())
        raise UsageError(f"--table: the encoders of this bundle read clips ({made}); name clips instead")
    found: dict[str, Path] = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not equals and len(streams) == 1:
            name, place = streams[0], text
        if name not in streams or not place or name in found:
            raise UsageError(f"--table {text!r}; expected once each: {' '.join(f'{one}=FILE' for one in streams)}")
        found[name] = Path(place)
        if not found[name].exists():
            raise UsageError(f"--table {text}: there is no {place}")
    if missing := [name for name in streams if name not in found]:
        raise UsageError(
            f"the heads of this bundle read {' and '.join(streams)} from tables: no clip becomes rows of them; "
            f"name new tables: {' '.join(f'--table {name}=FILE' for name in missing)}"
        )
    return found


def load_tables(bundle: Bundle, tables: Mapping[str, Path]) -> LoadedBundle:
    """Read new tables as the streams of a bundle.

    Raises
    ------
    FingerprintMismatchError
        Where a table has other columns than the one that the heads were fitted on, or other times.
    UsageError
        Where one can't be read.
    """
    csd_tables.register()
    encoders: dict[str, Encoder] = {}
    notes: list[str] = []
    for name, one in bundle.streams.items():
        parameters = one.spec["parameters"]
        how = TableReading(
            rate_hz=parameters.get("rate_hz"), confidence=parameters.get("confidence", LEAST_CONFIDENCE)
        )
        try:
            table = feature_table(tables[name], one.spec["stream"], how)
        except (ValueError, OSError) as error:
            raise UsageError(f"--table {name}={tables[name]}: {error}") from error
        notes += _compared(name, table, one.spec)
        encoders[name] = table
    recipe = bundle.recipe
    plan = ClipPlan(encoders, WindowPlan(**recipe["windows"]), Sampling.parse(recipe["sampling"]), None)
    specs = {name: one.spec for name, one in bundle.streams.items()}
    return LoadedBundle(bundle, plan, notes, integrity.with_random_weights(bundle.manifest.warnings, specs))


def table_items(loaded: LoadedBundle, manifest: Path | None, *, speaker: str = "") -> list[Item]:
    """Return an item for each row of a manifest, or else for each utterance of the tables, in their order.

    Raises
    ------
    ManifestError
        Where the manifest is faulty.
    UsageError
        Where a speaker is named and the manifest names one in each row.
    """
    if manifest is not None:
        rows = [Item(row.id, None, row, speaker=row.speaker) for row in read_manifest(manifest)]
        require_unnamed(speaker, rows)
        return [replace(item, speaker=item.speaker or speaker) for item in rows]
    ids = dict.fromkeys(one for table in loaded.plan.tables.values() for one in ids_of(table))
    items = []
    for one in ids:
        try:
            items.append(Item(one, None, Utterance(one, one, ROOT_SPLIT), speaker=speaker))
        except InvalidRowError as error:
            items.append(Item(one, None, None, f"unreadable: {error}"))
    return items


def encode_tables(loaded: LoadedBundle, items: Sequence[Item]) -> list[ClipRows]:
    """Look up the items that are utterances, and project their rows."""
    bundle, done = loaded.bundle, []
    for item in items:
        one = item.utterance
        if one is None:
            continue
        begun = begin_clip(None, one.id, loaded.plan, span_s=item.span_s)
        clip = ClipRows(one.id, "", begun.duration_s, begun.starts_s, begun.streams)
        streams = {
            name: projected([clip.streams[name]], bundle.projections.get(name))[0] for name in bundle.streams
        }
        done.append(replace(clip, streams=streams))
    return done


def _compared(name: str, table: TableEncoder, stated: SpecDocument) -> list[str]:
    """Return what a person should know of a new table; raise where it is not of the columns of the old one."""
    new = table.spec
    told = f"the table of {name}, {new.name},"
    if new.raw_width != stated["raw_width"]:
        raise FingerprintMismatchError(
            f"{told} has {new.raw_width} columns; the heads were fitted on {stated['raw_width']}, of "
            f"{stated['name']}"
        )
    if new.has_windows != stated["has_windows"]:
        kinds = ("one row per utterance and no times", "rows with times")
        raise FingerprintMismatchError(
            f"{told} has {kinds[new.has_windows]}; the heads were fitted on {kinds[bool(stated['has_windows'])]}"
        )
    here, there = new.column_names or (), tuple(stated.get("column_names") or ())
    if here == there:
        return []
    if all(map(_UNNAMED.fullmatch, here)) or all(map(_UNNAMED.fullmatch, there)):
        return [f"{told} is taken column by column in its order: one of the two does not name its columns"]
    at = next(at for at, (one, other) in enumerate(zip(here, there, strict=True)) if one != other)
    raise FingerprintMismatchError(
        f"{told} has {here[at]!r} as column {at + 1}; the heads were fitted on {there[at]!r}: the same columns "
        "in the same order"
    )
