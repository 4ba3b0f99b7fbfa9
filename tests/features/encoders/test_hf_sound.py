"""hf: for sound, against transformers' own forward of tiny random networks at the clip's length."""

from __future__ import annotations

import json
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dualstream.features.encoder import EncoderOptions, build, is_learned_from_labels
from dualstream.features.pretrained.layers import Layers
from dualstream.features.pretrained.sound import CHUNK_S, EDGE_S, SpeechEncoder, cut_chunks, pooled
from dualstream.features.pretrained.speech import FrameGrid
from numpy.typing import NDArray

from tests.features.encoders.hf_models import SOUND, SPEECH, change_json, save_sound, transformers

RATE = 16_000
FAMILIES = list(SOUND)
WINDOW_S, HOP_S = 1.0, 0.5


def sound(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Noise whose level moves, so that windows differ."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE)) / RATE
    return (0.2 * np.sin(2 * np.pi * 1.3 * time_s) * rng.standard_normal(len(time_s)) + 0.05).astype(np.float32)


def make(folder: Path, layers: str = "", **options: Any) -> SpeechEncoder:
    made = build("audio", f"hf:{folder}{layers}", EncoderOptions(**options))
    assert isinstance(made, SpeechEncoder)
    return made


def own_frames(folder: Path, samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return transformers' own hidden states of a sound at its length, (T, D) each; none of our code is in it."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(samples, sampling_rate=RATE, padding=False, return_tensors="pt")
    if "input_values" in inputs:
        net = transformers.AutoModel.from_pretrained(folder).eval()
        values = {"input_values": inputs["input_values"]}
    else:  # Whisper for inputs of this very length: as many positions as there are frames, the first of its own
        frames = inputs["input_features"].shape[-1] // 2
        whole = transformers.WhisperModel.from_pretrained(folder)
        config = transformers.WhisperConfig.from_pretrained(folder)
        config.max_source_positions = frames
        net = transformers.WhisperModel(config).encoder.eval()
        state = dict(whole.encoder.state_dict())
        state["embed_positions.weight"] = state["embed_positions.weight"][:frames]
        net.load_state_dict(state)
        values = {"input_features": inputs["input_features"][..., : 2 * frames]}
    with torch.no_grad():
        answer = net(**values, output_hidden_states=True)
    # the last: what the network gives; whether the last hidden state has gone through its norm hangs on the version
    return [one[0].numpy() for one in (*answer.hidden_states[:-1], answer.last_hidden_state)]


def centres_s(folder: Path, count: int) -> NDArray[np.float64]:
    """Whisper's frames stand at multiples of 20 ms, those of seven convolutions at the middle of their 400 samples."""
    whisper = json.loads((folder / "config.json").read_text())["model_type"] == "whisper"
    return 0.02 * np.arange(count) + (0.0 if whisper else 199.5 / RATE)


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param)
    save_sound(path, request.param)
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    save_sound(path, "wav2vec2-group-norm")
    return path


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whisper")
    save_sound(path, "whisper")
    return path


@pytest.mark.parametrize("layers", ["", "@0", "@2", "@4", "@1-3", "@all"])
def test_rows_are_those_of_transformers_at_the_clips_length(folder: Path, layers: str) -> None:
    samples = sound(2.33)
    encoder = make(folder, layers)
    starts_s = np.arange(4) * HOP_S
    found = encoder.encode_audio(samples, starts_s, WINDOW_S, (0.0, len(samples) / RATE))
    states = own_frames(folder, samples)
    assert len(states) == 5
    chosen = {
        "": states[3],
        "@0": states[0],
        "@2": states[2],
        "@4": states[4],
        "@1-3": np.mean(states[1:4], axis=0),
        "@all": np.concatenate(states, axis=1),
    }[layers]
    np.testing.assert_allclose(found.utterance, chosen.mean(0), atol=1e-5)
    at_s = centres_s(folder, len(chosen))
    for start_s, row in zip(starts_s, found.windows, strict=True):
        inside = (at_s >= start_s) & (at_s < start_s + WINDOW_S)
        np.testing.assert_allclose(row, chosen[inside].mean(0), atol=1e-5)
    assert found.window_present.all() and encoder.spec.raw_width == chosen.shape[1]


def test_a_stream_that_begins_late_is_encoded_without_its_padding(folder: Path) -> None:
    samples = sound(2.0)
    encoder = make(folder)
    late = np.concatenate([np.zeros(RATE, np.float32), samples])
    found = encoder.encode_audio(late, np.arange(5) * HOP_S, WINDOW_S, (1.0, 3.0))
    np.testing.assert_allclose(found.utterance, own_frames(folder, samples)[3].mean(0), atol=1e-5)
    assert found.window_present.tolist() == [False, True, True, True, True]


def test_a_window_alone_has_heard_nothing_else(folder: Path) -> None:
    samples = sound(2.25)
    encoder = make(folder, context="window")
    found = encoder.encode_audio(samples, np.arange(4) * HOP_S, WINDOW_S, (0.0, 2.25))
    for number, row in enumerate(found.windows):
        alone = samples[round(number * HOP_S * RATE) : round((number * HOP_S + WINDOW_S) * RATE)]
        np.testing.assert_allclose(row, own_frames(folder, alone)[3].mean(0), atol=1e-5)
    np.testing.assert_allclose(found.utterance, own_frames(folder, samples)[3].mean(0), atol=1e-5)
    assert encoder.spec.parameters["context"] == "window"


def test_threads_and_order_change_no_bit(folder: Path) -> None:
    encoder = make(folder, "@all")
    sounds = [sound(0.3 + 0.37 * seed, seed) for seed in range(6)]

    def rows(samples: NDArray[np.float32]) -> bytes:
        found = encoder.encode_audio(samples, np.arange(4) * HOP_S, WINDOW_S, (0.0, len(samples) / RATE))
        return found.windows.tobytes() + found.utterance.tobytes()

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        wanted = [rows(one) for one in sounds]
        for workers in (1, 2, 4):
            with ThreadPoolExecutor(workers) as pool:
                assert list(pool.map(rows, sounds[::-1]))[::-1] == wanted
    finally:
        torch.set_num_threads(before)


def test_bf16_is_near(folder: Path) -> None:
    exact, rounded = make(folder), make(folder, precision="bf16")
    samples = sound(1.5)
    rows = [one.encode_audio(samples, np.zeros(1), WINDOW_S, (0.0, 1.5)).utterance for one in (exact, rounded)]
    assert rows[1].dtype == np.float32 and not np.array_equal(*rows)
    np.testing.assert_allclose(rows[1], rows[0], atol=0.05 * np.abs(rows[0]).max())


@pytest.mark.parametrize("head", ["ForCTC", "ForSequenceClassification"])
def test_a_network_that_was_saved_with_a_head(tmp_path: Path, head: str) -> None:
    save_sound(tmp_path, "wavlm", head=head)
    samples = sound(1.0)
    found = make(tmp_path, "@2").encode_audio(samples, np.zeros(1), WINDOW_S, (0.0, 1.0))
    np.testing.assert_allclose(found.utterance, own_frames(tmp_path, samples)[2].mean(0), atol=1e-5)


def test_the_encoder_of_whisper_is_enough(whisper: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(whisper, tmp_path / "cut")
    state = load_file(tmp_path / "cut" / "model.safetensors")
    kept = {f"model.{name}": one.half() for name, one in state.items() if name.startswith("encoder.")}
    assert 0 < len(kept) < len(state)
    save_file(kept, tmp_path / "cut" / "model.safetensors")
    samples = sound(1.2)
    rows = [
        make(place).encode_audio(samples, np.zeros(1), WINDOW_S, (0.0, 1.2)).utterance
        for place in (whisper, tmp_path / "cut")
    ]
    np.testing.assert_allclose(rows[1], rows[0], atol=5e-3)  # halves


@pytest.mark.parametrize("seconds", [30.0, 30.5, 61.0, 95.3])
def test_long_sound_goes_in_chunks_whose_inside_is_as_if_it_were_alone(whisper: Path, seconds: float) -> None:
    samples = sound(seconds)
    encoder = make(whisper)
    chunks = cut_chunks(len(samples), encoder.model.grid, RATE)
    assert len(chunks) == (
        1 if seconds <= CHUNK_S else 1 + int(np.ceil((seconds - CHUNK_S) / (CHUNK_S - 2 * EDGE_S)))
    )
    starts_s = np.arange(int(seconds / HOP_S)) * HOP_S
    found = encoder.encode_audio(samples, starts_s, WINDOW_S, (0.0, seconds))
    assert found.window_present.all() and np.isfinite(found.windows).all()
    edges_s = [0.0, *((a[1] + b[0]) / 2 / RATE for a, b in pairwise(chunks)), seconds]
    for (first, stop), inner_s in zip(chunks, pairwise(edges_s), strict=True):
        own = own_frames(whisper, samples[first:stop])[3]
        at_s = first / RATE + centres_s(whisper, len(own))
        for start_s, row in zip(starts_s, found.windows, strict=True):
            if inner_s[0] <= start_s and start_s + WINDOW_S <= inner_s[1]:
                inside = (at_s >= start_s - 1e-9) & (at_s < start_s + WINDOW_S - 1e-9)
                np.testing.assert_allclose(row, own[inside].mean(0), atol=1e-5)


@pytest.mark.parametrize(("step", "field"), [(320, 1), (320, 400), (160, 25)])
@pytest.mark.parametrize("seconds", [29.99, 30.0, 30.001, 33.0, 60.0, 121.7, 3600.0])
def test_chunks_cover_all_and_overlap(step: int, field: int, seconds: float) -> None:
    samples = round(seconds * RATE)
    chunks = cut_chunks(samples, FrameGrid(step, (field - 1) / 2, field), RATE)
    assert chunks[0][0] == 0 and chunks[-1][1] == samples
    for first, stop in chunks:
        assert first % step == 0 and stop - first <= CHUNK_S * RATE
    for (_, stop), (first, _) in pairwise(chunks):
        assert stop - first >= 2 * EDGE_S * RATE


def test_frames_are_pooled_by_their_centres() -> None:
    frames = np.arange(10, dtype=np.float32)[:, None]
    grid = FrameGrid(step=10, offset=4.0, least=9)  # centres at 4, 14, 24, … 94
    first, stop = np.array([0, 4, 5, -20, 90, 15]), np.array([20, 24, 14, 5, 200, 18])
    # the last but three: only the sample 14 is missing, so the nearest centre to 9.5 is taken
    assert pooled(frames, grid, first, stop)[:, 0].tolist() == [0.5, 0.5, 1.0, 0.0, 9.0, 1.0]


@pytest.mark.parametrize(
    ("depth", "layer"), [(1, 1), (2, 1), (4, 3), (6, 4), (12, 8), (24, 16), (32, 21), (48, 32)]
)
def test_the_default_layer(depth: int, layer: int) -> None:
    assert Layers.parse("", depth) == Layers((layer,), "mean")
    assert depth < 4 or 0.6 <= layer / depth <= 0.75


@pytest.mark.parametrize("layers", ["5", "3-5", "3-2"])
def test_layers_that_are_not_there_fail(tiny: Path, layers: str) -> None:
    with pytest.raises(ValueError, match=rf"layers are '{layers}'; expected one of 0 to 4 .*@all"):
        make(tiny, f"@{layers}")


def test_blocks_above_the_last_layer_are_not_kept(tiny: Path) -> None:
    count = {
        text: sum(one.numel() for one in make(tiny, text).model._net.parameters()) for text in ("@1", "", "@4")
    }
    assert count["@1"] < count[""] < count["@4"]


def test_the_spec_tells_all_that_shapes_the_rows(tiny: Path, tmp_path: Path) -> None:
    spec = make(tiny, "@all").spec
    assert spec.name == f"hf:{tiny.name}@all" and spec.raw_width == spec.width == 5 * 24
    assert {key: spec.parameters[key] for key in ("layers", "layers_joined", "layer_width")} == {
        "layers": [0, 1, 2, 3, 4],
        "layers_joined": "each",
        "layer_width": 24,
    }
    assert str(tiny) not in json.dumps(spec.to_json())
    for name in ("config.json", "preprocessor_config.json"):
        other = shutil.copytree(tiny, tmp_path / name / tiny.name)
        change_json(other / name, note="changed")
        changed = make(other, "@all").spec
        assert changed.parameters["files"][name] != spec.parameters["files"][name]
        assert changed.weights == spec.weights
    other = tmp_path / "weights" / tiny.name
    save_sound(other, "wav2vec2-group-norm", seed=1)
    assert make(other, "@all").spec.weights["sha256"] != spec.weights["sha256"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("labels", "learned"),
    [
        (None, False),
        ({"0": "arousal", "1": "dominance", "2": "valence"}, True),
        ({"0": "neu", "1": "hap"}, True),
        ({"0": "yes", "1": "no"}, False),
    ],
)
def test_a_network_whose_classes_are_emotions_learned_from_labels(
    tiny: Path, tmp_path: Path, labels: Any, learned: bool
) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    if labels:
        change_json(
            other / "config.json", id2label=labels, label2id={word: int(key) for key, word in labels.items()}
        )
    assert is_learned_from_labels(make(other).spec.to_json()) == learned


# What is refused


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_told_which(tiny: Path, tmp_path: Path, name: str) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    (other / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"lacks {name}: it must hold config.json, .*model.safetensors .*found "
    ):
        make(other)


def test_a_folder_that_is_not_there_fails() -> None:
    with pytest.raises(FileNotFoundError, match=r"hf:openai/nothing: there is no such folder. Nothing is fetched"):
        build("audio", "hf:openai/nothing@2", EncoderOptions())
    with pytest.raises(ValueError, match="names no folder"):
        build("audio", "hf:", EncoderOptions())


def test_a_home_folder_and_a_name_that_ends_like_layers(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(tiny, tmp_path / "net@2")
    assert make(Path("~/net@2")).spec.name == "hf:net@2" and make(Path("~/net@2")).model.layers.wanted == (3,)
    assert make(Path("~/net@2@1")).model.layers.wanted == (1,)


def test_pickles_are_not_read(tiny: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    (other / "model.safetensors").rename(other / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="Only safetensors are read, since other formats may hold code"):
        make(other)


def test_code_of_a_folder_is_not_run(tiny: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    change_json(
        other / "config.json", model_type="mine", auto_map={"AutoConfig": "mine.Mine", "AutoModel": "mine.Net"}
    )
    mark = tmp_path / "ran"
    (other / "mine.py").write_text(f"open({str(mark)!r}, 'w')\nclass Mine: ...\nclass Net: ...\n")
    with pytest.raises(ValueError, match=r"configuration of hf:.* can't be loaded"):
        make(other)
    assert not mark.exists()


def test_weights_that_lack_tensors_fail(tiny: Path, whisper: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for place, part in ((tiny, "encoder.layers.1."), (whisper, "encoder.layers.1.")):
        other = shutil.copytree(place, tmp_path / place.name)
        state = load_file(other / "model.safetensors")
        save_file(
            {key: one for key, one in state.items() if part not in key},
            other / "model.safetensors",
            {"format": "pt"},
        )
        with pytest.raises(
            ValueError, match=r"the weights lack encoder\.layers\.1\.|the weights lack layers\.1\."
        ):
            make(other)


def test_damaged_weights_fail(tiny: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    data = (other / "model.safetensors").read_bytes()
    (other / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="can't be loaded"):
        make(other)


def test_weights_with_nan_fail(tiny: Path, whisper: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for place in (tiny, whisper):
        other = shutil.copytree(place, tmp_path / place.name)
        state = load_file(other / "model.safetensors")
        name = next(key for key in sorted(state) if key.startswith("encoder.") and state[key].ndim == 2)
        state[name][0, 0] = float("nan")
        save_file(state, other / "model.safetensors", {"format": "pt"})
        with pytest.raises(ValueError, match="holds NaN or infinity"):
            make(other)


def test_a_network_that_squeezes_its_frames(tmp_path: Path) -> None:
    """SEW's blocks see a frame for 40 ms; only behind them it is brought back to 20 ms."""
    keep = {key: value for key, value in SPEECH.items() if key != "conv_dim"}
    torch.manual_seed(0)
    net = transformers.SEWModel(transformers.SEWConfig(**keep)).eval()
    net.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    encoder = make(tmp_path, "@all")
    assert encoder.model.grid.step == 640 and encoder.spec.raw_width == 5 * 24
    samples = sound(2.0)
    found = encoder.encode_audio(samples, np.arange(3) * HOP_S, WINDOW_S, (0.0, 2.0))
    states = []
    for block in net.encoder.layers:
        block.register_forward_hook(lambda block, given, answer: states.append(answer[0].numpy()))
    with torch.no_grad():
        values = transformers.AutoFeatureExtractor.from_pretrained(tmp_path)(samples, sampling_rate=RATE)
        net(torch.tensor(np.array(values["input_values"])))
    second = states[1].reshape(-1, 24)
    np.testing.assert_allclose(found.utterance[48:72], second.mean(0), atol=1e-5)


def test_an_encoder_of_an_encoder_and_decoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.Speech2TextConfig(
        d_model=24, encoder_layers=4, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, conv_channels=16, vocab_size=32,
    )  # fmt: skip
    transformers.Speech2TextModel(config).save_pretrained(tmp_path)
    transformers.Speech2TextFeatureExtractor().save_pretrained(tmp_path)
    encoder = make(tmp_path)
    assert encoder.model.layers.wanted == (3,) and encoder.model.grid.step == 640
    assert encoder.encode_audio(sound(2.0), np.zeros(1), WINDOW_S, (0.0, 2.0)).window_present.all()


def test_a_network_without_frames_of_time_fails(tmp_path: Path) -> None:
    """The spectrogram transformer pads whatever it is given to ten seconds."""
    config = transformers.ASTConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=1, intermediate_size=8)
    transformers.ASTModel(config).save_pretrained(tmp_path)
    transformers.ASTFeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="expected one that gives a row for each frame of time"):
        make(tmp_path)


def test_a_network_of_pictures_fails(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=32
    )
    transformers.ViTModel(config).save_pretrained(tmp_path)
    transformers.ViTImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"can't be loaded|takes no sound"):
        make(tmp_path)


def test_parts_of_weights_are_one_digest(tiny: Path, tmp_path: Path) -> None:
    net = transformers.AutoModel.from_pretrained(tiny)
    other = shutil.copytree(tiny, tmp_path / "parts")
    (other / "model.safetensors").unlink()
    net.save_pretrained(other, max_shard_size="20KB")
    assert len(list(other.glob("model-*.safetensors"))) > 1
    samples = sound(1.0)
    whole, parts = (make(place).encode_audio(samples, np.zeros(1), 1.0, (0.0, 1.0)) for place in (tiny, other))
    assert np.array_equal(whole.utterance, parts.utterance)
    lost = next(other.glob("model-*.safetensors"))
    lost.unlink()
    with pytest.raises(FileNotFoundError, match=rf"lacks {lost.name}, which model.safetensors.index.json names"):
        make(other)


def test_an_index_that_leads_out_of_the_folder_fails(tiny: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    (other / "model.safetensors").rename(tmp_path / "out.safetensors")
    (other / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../out.safetensors"}}))
    with pytest.raises(ValueError, match=r"names \.\./out\.safetensors; expected \.safetensors files beside it"):
        make(other)


def test_nothing_is_fetched(tiny: Path, whisper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*how: Any, **more: Any) -> Any:
        pytest.fail("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for place in (tiny, whisper):
        assert make(place).spec.raw_width == 24


def test_a_folder_that_changes_while_it_is_read_fails(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    real = transformers.AutoModel.from_pretrained

    def late(*how: Any, **more: Any) -> Any:
        found = real(*how, **more)
        change_json(other / "config.json", note="late")
        return found

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", late)
    with pytest.raises(ValueError, match="changed while it was read"):
        make(other)
