"""Trainable encoders: how they are found, and how frames become what a network takes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dualstream.features.encoders.frozen import preprocess
from dualstream.features.trainable import (
    TRAINABLE,
    build_trainable,
    cut_frames,
    prepare_frames,
    register_trainable,
    require_trainable,
)

from dualstream.discovery import UnknownNameError
from tests.registries import scratch

HALF = (0.5, 0.5, 0.5)


def frames(count=6, side=16, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8))


def test_a_builder_gets_what_to_begin_with_and_whether_to_augment():
    with scratch(TRAINABLE):

        @register_trainable("toy")
        def build(weights, augment):
            return weights, augment

        assert build_trainable("toy", None) == (None, True)
        assert build_trainable("toy", "random:3", augment=False) == ("random:3", False)
        assert require_trainable("toy") is build
        with pytest.raises(ValueError, match="'toy' is registered twice"):
            register_trainable("toy")(build)
    with pytest.raises(
        UnknownNameError, match="--encoder is 'toy'; those that can be trained are: bilstm, cnn5, vgg16"
    ):
        require_trainable("toy")


def test_each_frame_is_a_sample_of_one_length():
    shown = frames().numpy()
    x, lengths = cut_frames(SimpleNamespace(frames=shown), 1.0)
    assert x is shown and lengths.tolist() == [1] * 6 and lengths.dtype == np.int64
    assert cut_frames(SimpleNamespace(frames=shown[:0]), 1.0)[1].shape == (0,)


@pytest.mark.parametrize("size_px", [16, 8])
def test_frames_are_prepared_as_the_frozen_encoder_prepares_them(size_px):
    """Else a network would be trained on other pictures than it is used on."""
    (found,) = prepare_frames(size_px, HALF, HALF, None)(frames(), torch.ones(6), None)
    torch.testing.assert_close(found, preprocess(frames(), size_px, HALF, HALF))
    assert found.shape == (6, 3, size_px, size_px)


def test_without_a_generator_nothing_is_augmented():
    from dualstream.features.augment import FaceAugmentation

    (found,) = prepare_frames(16, HALF, HALF, FaceAugmentation())(frames(), torch.ones(6), None)
    torch.testing.assert_close(found, preprocess(frames(), 16, HALF, HALF))


def test_augmentation_is_its_generators_and_changes_pictures():
    from dualstream.features.augment import FaceAugmentation

    prepare = prepare_frames(16, HALF, HALF, FaceAugmentation())
    one, again, other = (
        prepare(frames(), torch.ones(6), torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.shape == (6, 3, 16, 16) and torch.isfinite(one).all()
    assert not torch.allclose(one, preprocess(frames(), 16, HALF, HALF))
    before = frames()
    prepare(before, torch.ones(6), torch.Generator().manual_seed(1))
    assert torch.equal(before, frames())  # the samples stay as they are
