"""Plain torch modules as variants: torch's own forward is what they must answer, whatever they train beside."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from dualstream.heads import DualHeadClassifier
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.export import HeadGraph
from dualstream.heads.fusion.network import Settings
from dualstream.heads.training.fit import TorchModel
from dualstream.heads.variants import registry
from dualstream.heads.variants.module import Batch, Logits, register_variant
from dualstream.heads.variants.options import FitOptions
from torch import nn

from tests.heads.plain_modules import NAMES, Rows, Windows, plain_modules
from tests.heads.planted import Split, plant
from tests.registries import scratch

QUICK = FitOptions(seeds=(3, 4, 7), epochs=4, hidden=16, patience=1, threads=1)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with plain_modules():
        yield


@pytest.fixture(scope="module")
def split() -> Split:
    return plant("exclusive_or", 2, train=300, dev=101, test=60)


def bytes_of(model: object) -> dict[str, bytes]:
    assert isinstance(model, TorchModel)
    return {name: value.tobytes() for name, value in model.arrays.items()}


def as_torch(model: TorchModel, made: type[nn.Module]) -> nn.Module:
    """Return the user's module with the trained arrays, as torch loads them."""
    module = made(model.settings)
    values = {name.removeprefix("module."): torch.from_numpy(array) for name, array in model.arrays.items()}
    module.load_state_dict(values, strict=True)
    return module.eval()


@pytest.mark.parametrize("task_balance", ["fixed", "uncertainty", "surgery"])
def test_it_answers_what_torch_answers(split: Split, task_balance: str) -> None:
    options = replace(QUICK, epochs=10, patience=0, task_balance=task_balance)
    for model in registry.fit("plain-rows", split.train, options=options):
        assert isinstance(model, TorchModel)
        module = as_torch(model, Rows)
        assert int(module.norm.num_batches_tracked) == 10 * 17  # type: ignore[union-attr, arg-type]
        assert float(module.fixed) == 0.5 and float(module.gain) != 1.0  # type: ignore[arg-type]
        rows, columns = {}, np.zeros(0)
        for name, stream in split.train.streams.items():
            columns = stream.utterance.astype(np.float64)
            test = split.test.streams[name].utterance
            rows[name] = torch.from_numpy(((test - columns.mean(0)) / columns.std(0)).astype(np.float32))
        with torch.no_grad():
            joined = sum(module.entry[name](values) for name, values in rows.items())  # type: ignore[index]
            hidden = module.norm(module.gain * joined.relu()) + module.fixed  # type: ignore[operator, union-attr]
            expected = module.out(hidden)[:, :2].log_softmax(-1)  # type: ignore[operator]
        found = model.predict(split.test).emotion
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_it_learns_what_is_planted() -> None:
    made = plant("noise_stream", 5, train=400, dev=100, test=200)
    for name in ("plain-rows", "plain-windows"):
        options = FitOptions(seeds=(0,), epochs=20, threads=1, learning_rate=1e-2)
        (model,) = registry.fit(name, made.train, made.dev, options=options)
        assert (model.predict(made.test).emotion.argmax(1) == made.test.emotion).mean() > 0.9  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_depends_neither_on_company_nor_on_threads(name: str, split: Split) -> None:
    together = registry.fit(name, split.train, split.dev, options=QUICK)
    threaded = registry.fit(name, split.train, split.dev, options=replace(QUICK, threads=3))
    assert [bytes_of(model) for model in threaded] == [bytes_of(model) for model in together]
    for model in together:
        (alone,) = registry.fit(name, split.train, split.dev, options=replace(QUICK, seeds=(model.seed,)))
        assert bytes_of(alone) == bytes_of(model)
    assert bytes_of(together[0]) != bytes_of(together[1])


def test_torchs_generator_is_left_as_it_was(split: Split) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    registry.fit("plain-rows", split.train, split.dev, options=QUICK)
    assert torch.equal(torch.rand(3), expected)


def test_dropout_and_modality_dropout_shape_what_is_learned(split: Split) -> None:
    fits = [
        registry.fit("plain-rows", split.train, options=replace(QUICK, seeds=(3,), patience=0, **changed))[0]
        for changed in ({}, {"dropout": 0.0}, {"modality_dropout": 0.0})
    ]
    arrays = [bytes_of(one)["module.out.weight"] for one in fits]
    assert len(set(arrays)) == 3


def test_streams_are_hidden_from_it_in_training(split: Split) -> None:
    seen: list[float] = []

    class Watching(Rows):
        def forward(self, batch: Batch) -> Logits:
            gone = ~batch.video_present
            assert not batch.video_utterance[gone].any()
            if self.training:
                seen.append(float(gone.float().mean()))
            return super().forward(batch)

    register_variant("watching", parameters={"fixed": 0.0})(Watching)
    options = replace(QUICK, seeds=(0,), patience=0, epochs=20, modality_dropout=0.5)
    registry.fit("watching", split.train, options=options)
    assert np.mean(seen) == pytest.approx(0.25, abs=0.03)


def test_it_is_copied_and_pickled(split: Split) -> None:
    model = registry.fit("plain-rows", split.train, split.dev, options=QUICK)[0]
    expected = model.predict(split.test).emotion
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(split.test).emotion, expected)


def test_it_serves_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 8)).astype(np.float32)
    labels = (rows[:, 0] > 0).astype(int)
    head = DualHeadClassifier(fusion="plain-rows", video_width=4, parameters={"fixed": 0.0}, epochs=30, models=1)
    assert pickle.loads(pickle.dumps(head.fit(rows, labels))).score(rows, labels) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_its_graph_says_what_it_says(name: str, split: Split) -> None:
    models = registry.fit(name, split.train, split.dev, options=QUICK)
    graph = HeadGraph(models, {"emotion": 1.0, "sentiment": 1.0})
    with torch.no_grad():
        found = graph(*graph.feed(split.test))
    expected = np.mean([np.exp(model.predict(split.test).emotion) for model in models], axis=0)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-6)


def test_gradients_of_one_task_alone_meet_no_surgery(split: Split) -> None:
    """Each task has a layer of its own and nothing is shared: surgery then changes nothing."""
    options = replace(QUICK, seeds=(0,), patience=0)
    plain, cut = (
        registry.fit("plain-windows", split.train, options=replace(options, task_balance=balance))[0]
        for balance in ("fixed", "surgery")
    )
    assert bytes_of(plain) == bytes_of(cut)
    assert isinstance(plain, TorchModel) and as_torch(plain, Windows) is not None


def _fails(made: type[nn.Module], features: FeatureSet, **arguments: object) -> str:
    with scratch(registry.VARIANTS):
        register_variant("odd", **arguments)(made)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="odd: ") as caught:
            registry.fit("odd", features, options=QUICK)
    return str(caught.value)


def test_what_a_module_may_not_be_is_said(split: Split) -> None:
    class Short(nn.Module):
        def __init__(self, settings: Settings) -> None:
            super().__init__()
            self.out = nn.Linear(settings.widths["video"], 3)

        def forward(self, batch: Batch) -> Logits:
            return Logits(self.out(batch.video_utterance), self.out(batch.video_utterance))

    class Bare(Short):
        def forward(self, batch: Batch) -> torch.Tensor:  # type: ignore[override]
            return self.out(batch.video_utterance)  # type: ignore[no-any-return]

    class Half(Short):
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            self.half()

    class Lazy(Short):
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            self.out = nn.LazyLinear(4)  # type: ignore[assignment]

    assert "gives emotion logits of shape (18, 3); expected Logits with (18, 2)" in _fails(Short, split.train)
    assert "gives emotion logits a Tensor; expected Logits with (18, 2)" in _fails(Bare, split.train)
    assert "out.weight is of torch.float16; expected torch.float32" in _fails(Half, split.train)
    assert "out.weight has no shape yet; take it from settings.widths" in _fails(Lazy, split.train)


def test_what_cannot_be_registered_is_said() -> None:
    with pytest.raises(TypeError, match=r"the variant 'f' is <function .*expected a subclass of torch.nn.Module"):
        register_variant("f")(lambda settings: None)  # type: ignore[type-var]
    with pytest.raises(ValueError, match=r"reads \('text', 'text'\); expected streams of different names"):
        register_variant("f", streams=("text", "text"))(Rows)
    with pytest.raises(ValueError, match="is registered twice"):
        register_variant("video")(Rows)
    with pytest.raises(ValueError, match="expected letters, digits"):
        register_variant("a:b")(Rows)
    with pytest.raises(ValueError, match="the default of sizes is no number"):
        register_variant("f", parameters={"sizes": [1, 2]})(Rows)
    assert "f" not in registry.names()


def test_a_model_whose_variant_is_gone_says_what_to_install(split: Split) -> None:
    state = registry.fit("plain-rows", split.train, options=replace(QUICK, seeds=(0,)))[0].state()
    with (
        scratch(registry.VARIANTS, only=("video",)),
        pytest.raises(ValueError, match=r"'plain-rows'; there are: video; if another package has it"),
    ):
        registry.restore(*state)
