"""Augmentation for training encoders: faces are flipped, cropped and recoloured, sound is masked.

All is drawn from a torch generator, one draw a sample, so that the same generator gives the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class FaceAugmentation:
    """How far pictures of faces are changed. No rotation by more than a head tilts, no vertical flip."""

    flip: float = 0.5
    """Chance of a horizontal flip, 0 to 1: an expression means the same seen in a mirror."""
    crop: float = 0.85
    """Smallest side of the random crop, as a share of the picture's, 0 to 1; it is resized to the whole."""
    colour: float = 0.2
    """Brightness, contrast and the weight of each colour move by up to this share, 0 or more."""


@dataclass(frozen=True)
class SoundAugmentation:
    """How much of log-mel frames is masked (SpecAugment, Park et al. 2019, https://arxiv.org/abs/1904.08779)."""

    time_masks: int = 2
    time_share: float = 0.15
    """Longest mask in time, as a share of the window's frames."""
    band_masks: int = 2
    band_share: float = 0.15
    """Widest mask in frequency, as a share of the bands."""


def augment_faces(frames: Tensor, how: FaceAugmentation, generator: torch.Generator) -> Tensor:
    """Change RGB frames, float of shape (B, 3, S, S) on the scale 0 to 255; return the same shape and scale.

    Crop and flip are one bilinear resampling. `generator` is one of the CPU, whatever device the frames are on.
    """
    count = len(frames)
    drawn = torch.rand(count, 9, generator=generator)  # one row a frame, whatever is switched off
    side = how.crop + (1 - how.crop) * drawn[:, 0]  # share of the picture that is kept
    mirrored = torch.where(drawn[:, 1] < how.flip, -1.0, 1.0)
    shift = (2 * drawn[:, 2:4] - 1) * (1 - side)[:, None]  # of the crop's middle, in half pictures
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0], maps[:, 1, 1], maps[:, :, 2] = side * mirrored, side, shift
    grid = functional.affine_grid(maps.to(frames.device), list(frames.shape), align_corners=False)
    moved = functional.grid_sample(
        frames, grid.to(frames.dtype), mode="bilinear", padding_mode="border", align_corners=False
    )
    factors = (1 + how.colour * (2 * drawn[:, 4:] - 1)).to(frames)  # (B, 5)
    brightness, contrast = factors[:, 0].view(-1, 1, 1, 1), factors[:, 1].view(-1, 1, 1, 1)
    tint = factors[:, 2:].view(-1, 3, 1, 1)
    middle = moved.mean((1, 2, 3), keepdim=True)
    return (((moved - middle) * contrast + middle) * brightness * tint).clamp(0, 255)


def mask_sound(
    frames: Tensor, lengths: Tensor, how: SoundAugmentation, generator: torch.Generator, fill: Tensor
) -> Tensor:
    """Mask spans of time and of frequency in log-mel frames, shape (B, T, M); return a new tensor.

    Parameters
    ----------
    lengths
        Frames of each row that are sound, shape (B,).
    fill
        What masked cells become: the mean of each band, shape (M,).
    """
    count, steps, bands = frames.shape
    hidden = torch.zeros(count, steps, bands, dtype=torch.bool, device=frames.device)
    step = torch.arange(steps, device=frames.device)
    band = torch.arange(bands, device=frames.device)
    wide = lengths.to(frames.device, torch.float32)
    for _ in range(how.time_masks):
        first, stop = _spans(wide, how.time_share, generator)
        hidden |= ((step >= first[:, None]) & (step < stop[:, None]))[:, :, None]
    for _ in range(how.band_masks):
        whole = torch.full((count,), float(bands), device=frames.device)
        first, stop = _spans(whole, how.band_share, generator)
        hidden |= ((band >= first[:, None]) & (band < stop[:, None]))[:, None, :]
    return torch.where(hidden, fill.to(frames), frames)


def _spans(whole: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw half-open spans of up to `share` of `whole`, shape (B,) each."""
    drawn = torch.rand(2, len(whole), generator=generator).to(whole)
    width = (drawn[0] * ((whole * share).floor() + 1)).floor()
    first = (drawn[1] * (whole - width + 1).clamp_min(1)).floor()
    return first, first + width
