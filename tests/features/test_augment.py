from __future__ import annotations

import pytest
import torch
from dualstream.features.augment import (
    FaceAugmentation,
    SoundAugmentation,
    augment_faces,
    mask_sound,
)

FRAMES = torch.rand(6, 3, 10, 10, generator=torch.Generator().manual_seed(1)) * 255


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_asked_changes_nothing() -> None:
    found = augment_faces(FRAMES, FaceAugmentation(flip=0, crop=1, colour=0), drawn())
    torch.testing.assert_close(found, FRAMES, rtol=0, atol=1e-2)


def test_a_flip_is_a_mirror() -> None:
    found = augment_faces(FRAMES, FaceAugmentation(flip=1, crop=1, colour=0), drawn())
    torch.testing.assert_close(found, FRAMES.flip(3), rtol=0, atol=1e-2)


def test_half_are_flipped() -> None:
    frames = torch.arange(10.0).expand(400, 3, 10, 10)  # rises to the right; flipped it falls
    found = augment_faces(frames, FaceAugmentation(crop=1, colour=0), drawn())
    share = (found[:, 0, 0, 0] > found[:, 0, 0, -1]).float().mean()
    assert 0.4 < share < 0.6


def test_a_crop_keeps_a_part_and_its_order() -> None:
    ramp = torch.arange(100.0).expand(50, 3, 100, 100)
    found = augment_faces(ramp, FaceAugmentation(flip=0, crop=0.5, colour=0), drawn())
    kept = found[:, 0, 0, -1] - found[:, 0, 0, 0]  # columns of the picture that are left
    assert kept.min() > 45 and kept.max() < 101 and kept.std() > 5
    assert (found.diff(dim=3) >= 0).all()


def test_colour_moves_within_bounds() -> None:
    grey = torch.full((200, 3, 4, 4), 100.0)
    found = augment_faces(grey, FaceAugmentation(flip=0, crop=1, colour=0.2), drawn())[:, :, 0, 0]
    assert found.min() >= 100 * 0.8 * 0.8 - 0.1 and found.max() <= 100 * 1.2 * 1.2 + 0.1
    assert (found[:, 0] - found[:, 1]).abs().max() > 5  # not the brightness alone


@pytest.mark.parametrize("steps", [1, 20])
def test_masks_hide_spans_of_time_and_bands_only(steps: int) -> None:
    frames = torch.full((40, steps, 16), 7.0)
    fill = -torch.arange(1.0, 17.0)
    found = mask_sound(frames, torch.full((40,), steps), SoundAugmentation(), drawn(), fill)
    hidden = found != 7
    assert torch.equal(found[hidden], fill.expand_as(found)[hidden])
    in_time, in_bands = hidden.all(2), hidden.all(1)
    assert torch.equal(hidden, in_time[:, :, None] | in_bands[:, None, :])
    if steps == 20:
        assert hidden.any() and in_time.sum(1).max() <= 2 * 3 and in_bands.sum(1).max() <= 2 * 2
    assert (frames == 7).all()


def test_the_same_seed_draws_the_same() -> None:
    how = FaceAugmentation()
    assert torch.equal(augment_faces(FRAMES, how, drawn(3)), augment_faces(FRAMES, how, drawn(3)))
    assert not torch.equal(augment_faces(FRAMES, how, drawn(3)), augment_faces(FRAMES, how, drawn(4)))
