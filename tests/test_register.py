"""The decorators of the package's face: what a program registers, its functions know, in this process alone."""

import csv
import re

import pytest
import torch
from dualstream.features.encoder import EncoderSpec
from dualstream.heads import losses
from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.causes import Cause
from dualstream.heads.variants import registry
from dualstream.heads.variants.module import Logits
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.corpus import importers
from dualstream.pipeline.corpus.checks.findings import Case
from dualstream.pipeline.corpus.checks.registry import CHECKS
from dualstream.pipeline.corpus.importers import named_clips
from dualstream.pipeline.corpus.manifest import Manifest, read_manifest, write_manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import UsageError

import dualstream
from tests.heads.diagnosis.without_signs import without_signs
from tests.pipeline.planted_corpus import planted_cache
from tests.registries import scratch


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    place = tmp_path_factory.mktemp("register") / "cache.h5"
    write_cache(place, planted_cache())
    return place


@pytest.fixture
def own_importers():
    before = dict(importers.IMPORTERS._added), dict(importers._REGISTERED)
    yield
    for now, then in zip((importers.IMPORTERS._added, importers._REGISTERED), before, strict=True):
        now.clear()
        now.update(then)


class Constant(torch.nn.Module):
    """The same logits for every utterance, and a bias that is learnt."""

    def __init__(self, settings):
        super().__init__()
        self.emotion = torch.nn.Parameter(torch.zeros(settings.emotions))
        self.sentiment = torch.nn.Parameter(torch.zeros(settings.sentiments))

    def forward(self, batch):
        count = len(batch.video_present)
        return Logits(self.emotion.expand(count, -1), self.sentiment.expand(count, -1))


def test_a_module_is_a_variant_with_a_loss_of_its_own(cache, tmp_path):
    with scratch(registry.VARIANTS), scratch(losses.REGISTRY):
        dualstream.register_variant("constant")(Constant)

        @dualstream.register_loss("certain-of-the-last")
        def last(labels):
            """Whatever the labels are, the last class."""
            return lambda logits, mass: -logits.log_softmax(dim=-1)[..., -1].mean(dim=-1)

        run = dualstream.fit_head(
            cache, "constant", tmp_path / "run", seeds=[0], epochs=60, learning_rate=0.3, patience=0,
            loss="certain-of-the-last", report=False,
        )  # fmt: skip
    with (tmp_path / "run" / "predictions_dev.csv").open(newline="") as file:
        answers = {row["id"]: row["emotion_predicted"] for row in csv.DictReader(file)}
    found, features = planted_cache(), planted_cache().streams
    there = {
        name: video or audio
        for name, video, audio in zip(
            found.utterances.id, features["video"].present, features["audio"].present, strict=True
        )
    }
    assert answers == {name: "anger" if there[name] else "neutral" for name in answers}  # else by the prior
    assert set(answers.values()) == {"anger", "neutral"}
    assert run["config"]["options"]["loss"] == "certain-of-the-last"
    with pytest.raises(UsageError, match="no fusion variant is called 'constant'"):
        dualstream.fit_head(cache, "constant", tmp_path / "again", report=False)


def test_a_class_that_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"expected a subclass of torch\.nn\.Module"):
        dualstream.register_variant("odd")(EncoderSpec)


@without_signs()
def test_a_cause_is_named(tmp_path):
    write_cache(tmp_path / "cache.h5", planted_cache(sizes={"train": 60, "dev": 20}))
    with scratch(causes.REGISTRY):

        @dualstream.register_cause(rank=1)
        def many_rows(evidence):
            """There are many rows."""
            return Cause("many_rows", f"{evidence.utterances} rows", 0.0, None, (), "fewer")

        found = dualstream.diagnose(
            tmp_path / "cache.h5", tmp_path / "why", fusion="linear", seeds=[0], interventions=[], limits=False,
            measures=False,
        )  # fmt: skip
    assert (found["causes"][0]["name"], found["causes"][0]["text"]) == (
        "many_rows",
        "80 rows",
    )  # 60 train, 20 dev


def test_a_check_is_made(tmp_path):
    rows = (Utterance("a", "a.mp4", "train", emotion="joy"), Utterance("long-id", "b.mp4", "dev", emotion="joy"))
    write_manifest(Manifest(rows), tmp_path / "manifest.csv")
    with scratch(CHECKS):

        @dualstream.register_check("long-id", severity="note", noun="utterance", what="is long", means="nothing.")
        def long_id(corpus):
            return [Case(one.id, "") for one in corpus.manifest if len(one.id) > 3]

        found = dualstream.check(tmp_path / "manifest.csv")
    (own,) = [one for one in found["findings"] if one["code"] == "long-id"]
    assert [case["subject"] for case in own["cases"]] == ["long-id"]
    assert ["long-id", "note", "is long", "nothing.", 1] in found.table()
    assert repr(found).startswith("CheckResult(2 utterances, ") and "note" in repr(found)
    assert "long-id" not in {one["code"] for one in dualstream.check(tmp_path / "manifest.csv")["findings"]}


def test_check_looks_at_clips_where_a_root_is_given(tmp_path):
    write_manifest(Manifest((Utterance("a", "a.mp4", "train", emotion="joy"),)), tmp_path / "manifest.csv")
    assert dualstream.check(tmp_path / "manifest.csv")["unusable"] == []
    found = dualstream.check(tmp_path / "manifest.csv", tmp_path)
    assert found["unusable"] == ["a"] and found["looked_at"] == "table and clips"
    with pytest.raises(TypeError, match="strict"):  # a status is the command's
        dualstream.check(tmp_path / "manifest.csv", strict=True)


@pytest.mark.usefixtures("own_importers")
def test_an_importer_is_known_and_counts_what_it_leaves_out(tmp_path):
    for name in ("s1_joy.wav", "s2_joy.wav", "noise.wav"):
        (tmp_path / "corpus").mkdir(exist_ok=True)
        (tmp_path / "corpus" / name).write_bytes(b"")
    names = re.compile(r"s\d_joy")

    @dualstream.register_importer("joys", recordings=names, expected="s1_joy.wav")
    def rows(root):
        """Joys: recordings of joy.

        More of it.
        """
        return [
            Utterance(match[0], path, "train", emotion="joy") for path, match in named_clips(root, names, "s1")
        ]

    assert "joys" in importers.names() and importers.summary("joys") == "Joys: recordings of joy."
    found = dualstream.manifest("joys", tmp_path / "corpus", tmp_path / "manifest.csv")
    assert [one.id for one in read_manifest(tmp_path / "manifest.csv")] == ["s1_joy", "s2_joy"]
    (left,) = found["left_out"]
    assert (left["reason"], left["names"]) == ("name", ["noise.wav"])
    for taken in ("joys", "meld"):
        with pytest.raises(ValueError, match=f"importer '{taken}' is registered twice"):
            dualstream.register_importer(taken)(rows)


def test_it_is_forgotten_where_nobody_registered_it(tmp_path):
    with pytest.raises(UsageError, match="found no importer 'joys'"):
        dualstream.manifest("joys", tmp_path, tmp_path / "manifest.csv")
