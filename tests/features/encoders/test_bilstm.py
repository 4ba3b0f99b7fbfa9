from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from dualstream.features.encoder import EncoderOptions
from dualstream.features.encoders.bilstm import build_bilstm
from dualstream.features.log_mel import BANDS, SAMPLE_RATE_HZ, covered_frames, log_mel, windows_of
from dualstream.features.networks.bilstm import BiLstm
from dualstream.features.weights import HEAD_PREFIX
from safetensors.torch import save_file
from torch import nn
from torch.func import functional_call

RATE = SAMPLE_RATE_HZ
SOUND = (0.2 * np.random.default_rng(0).normal(size=RATE * 2)).astype(np.float32)


def test_log_mel_is_librosas() -> None:
    mel = librosa.feature.melspectrogram(
        y=SOUND, sr=RATE, n_fft=512, hop_length=320, window=np.hanning(512), center=True, pad_mode="constant",
        power=2.0, n_mels=BANDS, fmin=60.0, fmax=7600.0,
    )  # fmt: skip
    expected = np.log(mel.T[:100] / 512 + 1e-7)
    found = log_mel(SOUND)
    assert found.shape == (100, BANDS) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_row_is_the_mean_of_an_lstm_run_by_itself() -> None:
    net = BiLstm().reset(3)
    own = nn.LSTM(BANDS, 96, batch_first=True, bidirectional=True)
    own.load_state_dict({name.removeprefix("lstm."): x for name, x in net.state_dict().items() if "lstm" in name})
    frames = torch.randn(3, 9, BANDS, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([9, 4, 1])
    with torch.no_grad():
        found = net(frames, lengths)
        for row, x, length in zip(found, frames, lengths, strict=True):
            states, _ = own((x[None, :length] + 6.0) / 4.0)
            torch.testing.assert_close(row, states[0].mean(0), rtol=1e-4, atol=1e-5)


def test_arrays_that_are_put_in_its_place_are_used_and_get_gradients() -> None:
    net, other = BiLstm().reset(0).requires_grad_(False), BiLstm().reset(1)
    arrays = dict(other.named_parameters())
    frames, lengths = torch.randn(2, 5, BANDS), torch.tensor([5, 5])
    found = functional_call(net, arrays, (frames, lengths))
    torch.testing.assert_close(found, other(frames, lengths))
    found.sum().backward()
    assert all(array.grad is not None and array.grad.abs().sum() > 0 for array in arrays.values())


def test_windows_by_hand() -> None:
    # the stream covers 0.25 s to 1.65 s: 70 frames; windows of 1 s
    first, stop, present = windows_of(np.array([0.0, 0.5, 1.0, 1.56, 3.0]), 1.0, (0.25, 1.65), 70)
    assert present.tolist() == [True, True, True, False, False]
    assert first[:3].tolist() == [0, 12, 38] and stop[:3].tolist() == [38, 62, 70]


def test_frames_are_of_the_covered_span_alone() -> None:
    frames, span_s = covered_frames(SOUND, (0.5, 1.5))
    assert span_s == (0.5, 1.5)
    np.testing.assert_array_equal(frames, log_mel(SOUND[8000:24000]))
    assert covered_frames(SOUND, (5.0, 6.0))[0].shape == (0, BANDS)


def test_windows_and_utterance_are_rows_of_their_frames(tmp_path: Path) -> None:
    net = BiLstm().reset(5)
    path = tmp_path / "b.safetensors"
    save_file({**net.state_dict(), f"{HEAD_PREFIX}bias": torch.zeros(1, 3)}, path, metadata={"licence": "CC0"})
    encoder = build_bilstm("", EncoderOptions(weights=str(path)))
    assert encoder.spec.weights is not None and encoder.spec.weights["licence"] == "CC0"
    found = encoder.encode_audio(SOUND, np.array([0.0, 0.5, 1.0]), 1.0, (0.0, 2.0))
    frames = torch.from_numpy(log_mel(SOUND))
    with torch.no_grad():
        whole, second = net(frames[None], torch.tensor([100])), net(frames[None, 25:75], torch.tensor([50]))
    np.testing.assert_allclose(found.utterance, whole[0], atol=1e-5)
    np.testing.assert_allclose(found.windows[1], second[0], atol=1e-5)


@pytest.mark.parametrize("weights", [None, "imagenet"])
def test_it_has_no_published_weights(weights: str | None) -> None:
    with pytest.raises(ValueError, match="no published weights"):
        build_bilstm("", EncoderOptions(weights=weights))


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="not one of bilstm"):
        build_bilstm("", EncoderOptions(weights=str(tmp_path / "x.safetensors")))
