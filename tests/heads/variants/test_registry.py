"""The registry of variants, with variants that are there for these tests alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import Variant
from dualstream.heads.variants.options import FitOptions

from tests.heads.small_corpora import noise_corpus
from tests.registries import variants


def toy(name: str = "toy", **changes) -> Variant:
    """Return a variant that remembers what it was fitted with."""

    def fit(name, train, dev, options, progress):
        return [(name, len(train), options)]

    given = {
        "summary": "a toy",
        "streams": ("video", "audio"),
        "fit": fit,
        "restore": lambda arrays, values: (arrays, values),
    }
    return Variant(name, **{**given, **changes})


TUNED = {"rank": 4, "share": 0.5, "solver": "fast", "turned": False, "any": None}


@pytest.fixture
def corpus() -> FeatureSet:
    return noise_corpus(24)


def test_an_unknown_name_lists_the_known():
    with (
        variants(toy("a"), toy("b"), only=()),
        pytest.raises(ValueError, match=r"no fusion variant is called 'c'; there are: a, b;"),
    ):
        registry.get("c")


def test_tables_show_variants_by_kind_then_by_what_they_read():
    added = (
        toy("search", kind="search"), toy("solved", kind="solved"), toy("dialogues", needs_dialogues=True, needs_windows=True),
        toy("windows", needs_windows=True), toy("rows"), toy("more-rows"),
    )  # fmt: skip
    with variants(*added, only=()):
        assert registry.names() == ["rows", "more-rows", "windows", "dialogues", "solved", "search"]


@pytest.mark.parametrize("name", ["a:b", "", "-a", "a b", "ä", ".a", "a/b"])
def test_names_that_can_t_be_typed(name):
    with (
        variants(only=()),
        pytest.raises(ValueError, match="expected letters, digits, dots, dashes and underscores"),
    ):
        registry.register(toy(name), __name__)


def test_a_name_is_given_once():
    with variants(toy(), only=()), pytest.raises(ValueError, match="'toy' is registered twice"):
        registry.register(toy(), __name__)


def test_an_argument_makes_another_variant():
    def over(argument):
        return toy(f"context:{argument}", summary=f"over {argument}")

    with variants(toy("plain"), toy("context", argument=over), only=()):
        assert registry.get("context:plain").summary == "over plain"
        assert registry.get("context").summary == "a toy"
        with pytest.raises(ValueError, match="plain takes no argument; 'plain:x' was given"):
            registry.get("plain:x")


def test_a_fit_gets_what_it_was_asked_for(corpus):
    options = FitOptions(seeds=(7,))
    with variants(toy(), only=()):
        assert registry.fit("toy", corpus, options=options) == [("toy", 24, options)]
        assert registry.fit("toy", corpus)[0][2] == FitOptions()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"rank": 0}, "toy has rank=0; expected a whole number, 1 or more, such as 4"),
        ({"rank": 2.0}, "a whole number"),
        ({"rank": True}, "a whole number"),
        ({"share": "x"}, "toy has share='x'; expected a number, such as 0.5"),
        ({"share": True}, "a number"),
        ({"solver": 3}, 'toy has solver=3; expected a word, such as "fast"'),
        ({"turned": 1}, "expected true or false, such as false"),
        (
            {"other": 1},
            r"toy has no parameter \['other'\]; it has: \['any', 'rank', 'share', 'solver', 'turned'\]",
        ),
    ],
)
def test_settings_of_another_type(setting, said, corpus):
    with variants(toy(parameters=TUNED), only=()), pytest.raises(ValueError, match=said):
        registry.check("toy", corpus, FitOptions(parameters=setting))


@pytest.mark.parametrize(
    "setting", [{"rank": 1}, {"share": 2}, {"solver": ""}, {"turned": True}, {"any": [1]}, {}]
)
def test_settings_that_fit(setting, corpus):
    with variants(toy(parameters=TUNED), only=()):
        registry.check("toy", corpus, FitOptions(parameters=setting))


def test_what_a_corpus_lacks(corpus):
    silent = replace(corpus, streams={"video": corpus.streams["video"]})
    with variants(toy(), toy("either", any_stream=True), toy("windows", needs_windows=True), only=()):
        with pytest.raises(ValueError, match="toy reads the audio stream; this corpus has video alone"):
            registry.check("toy", silent, FitOptions())
        registry.check("either", silent, FitOptions())
        with pytest.raises(ValueError, match="this corpus has no stream alone"):
            registry.check("either", replace(corpus, streams={}), FitOptions())
        with pytest.raises(ValueError, match="windows needs windows; the video stream has only one row"):
            registry.check("windows", corpus, FitOptions())


def test_a_variant_may_refuse(corpus):
    def refuse(name, options):
        raise ValueError(f"{name} can't with {len(options.seeds)} seeds")

    with variants(toy(refuse=refuse), only=()), pytest.raises(ValueError, match="toy can't with 2 seeds"):
        registry.fit("toy", corpus, options=FitOptions(seeds=(0, 1)))


@pytest.mark.parametrize("which", ["train", "dev"])
def test_rows_that_are_no_numbers_are_refused(which, corpus):
    broken = noise_corpus(24, seed=1)
    broken.streams["audio"].utterance[3, 1] = np.nan
    train, dev = (broken, corpus) if which == "train" else (corpus, broken)
    with variants(toy(), toy("video-only", streams=("video",)), only=()):
        with pytest.raises(ValueError, match="audio"):
            registry.fit("toy", train, dev)
        assert registry.fit("video-only", train, dev)  # what it does not read does not matter


def test_a_state_is_restored_by_the_variant_that_gave_it():
    with variants(toy("one"), toy("two", restore=lambda arrays, values: "two's"), only=()):
        assert registry.restore({}, {"variant": "two"}) == "two's"
        with pytest.raises(ValueError, match="if another package has it, install that"):
            registry.restore({}, {"variant": "gone"})


@pytest.mark.parametrize(
    ("changes", "options", "names"),
    [
        ({}, {"epochs": 3}, set()),
        ({}, {"penalty": 3.0}, {"penalty"}),
        ({}, {"max_windows": 3}, {"max_windows"}),
        ({"needs_windows": True}, {"max_windows": 3}, set()),
        ({"streams": ("video",)}, {"modality_dropout": 0.4}, {"modality_dropout"}),
        ({"kind": "solved"}, {"epochs": 3, "hidden": 8, "penalty": 3.0}, {"epochs", "hidden"}),
        ({"kind": "search"}, {"epochs": 3, "penalty": 3.0}, set()),
        ({}, {"tasks": ("emotion",), "sentiment_weight": 2.0}, {"sentiment_weight"}),
        ({}, {"task_balance": "surgery", "sentiment_weight": 2.0}, {"sentiment_weight"}),
        ({}, {"loss": "focal", "focal_gamma": 1.0}, set()),
        ({}, {"focal_gamma": 1.0}, {"focal_gamma"}),
        ({}, {"patience": 0, "watch": "loss"}, {"watch"}),
    ],
)
def test_options_that_mean_nothing_are_named_with_their_reason(changes, options, names):
    with variants(toy(**changes), only=()):
        found = registry.unused("toy", FitOptions(**options))
    assert set(found) == names and all(found.values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "magic"}, "is of kind 'magic'; expected one of"),
        ({"streams": ()}, "expected streams of"),
        ({"streams": ("text", "text")}, "expected streams of"),
        ({"parameters": {"sizes": [1, 2]}}, "the default of sizes is no number, word, true or false"),
    ],
)
def test_what_is_no_variant(changes, said):
    with pytest.raises(ValueError, match=said):
        toy(**changes)


@pytest.mark.parametrize(
    ("any_stream", "there", "missing"),
    [(False, ("video", "audio"), ()), (False, ("video",), ("audio",)), (False, (), ("video", "audio")), (True, ("audio",), ()),
     (True, (), ("video", "audio"))],
)  # fmt: skip
def test_lacking(any_stream, there, missing):
    assert toy(any_stream=any_stream).lacking(there) == missing
