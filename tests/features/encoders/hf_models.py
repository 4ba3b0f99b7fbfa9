"""Tiny random networks of transformers, saved to a folder as users have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

transformers = pytest.importorskip("transformers")

SPEECH = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 8,
}
STABLE = {**SPEECH, "do_stable_layer_norm": True, "feat_extract_norm": "layer"}
WHISPER = {
    "d_model": 24,
    "encoder_layers": 4,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_mel_bins": 80,
    "vocab_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
SOUND = {  # by family: the network's name in transformers, and its configuration
    "wav2vec2-group-norm": ("Wav2Vec2", SPEECH),
    "wav2vec2-layer-norm": ("Wav2Vec2", STABLE),
    "hubert": ("Hubert", SPEECH),
    "hubert-layer-norm": ("Hubert", STABLE),
    "wavlm": ("WavLM", SPEECH),
    "wavlm-layer-norm": ("WavLM", STABLE),
    "data2vec": ("Data2VecAudio", {**SPEECH, "conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 2}),
    "unispeech-sat": ("UniSpeechSat", SPEECH),
    "wav2vec2-conformer": ("Wav2Vec2Conformer", SPEECH),
    "whisper": ("Whisper", WHISPER),
}


def save_sound(folder: Path, family: str = "wavlm", *, seed: int = 0, head: str = "Model", **changes: Any) -> Any:
    """Save a random network of a family with its feature extractor; return it, in evaluation mode."""
    import torch

    kind, settings = SOUND[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = getattr(transformers, f"{kind}Config")(**{**settings, **changes})
        net = getattr(transformers, f"{kind}{head}")(config).eval()
        with torch.no_grad():
            for name, value in net.named_parameters():
                if value.ndim == 1:  # norms and biases that are 1 and 0 would hide what is left out
                    value.add_(0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name))))
    net.save_pretrained(folder, safe_serialization=True)
    if kind == "Whisper":
        transformers.WhisperFeatureExtractor(feature_size=settings["num_mel_bins"]).save_pretrained(folder)
    else:
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return net


def change_json(path: Path, **values: Any) -> None:
    """Change keys of a JSON file; None takes a key away."""
    document = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))


def tower(**more: Any) -> dict[str, Any]:
    """Return the configuration of a small transformer over patches."""
    return {
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "image_size": 32,
        "patch_size": 8,
        **more,
    }


TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 32,
}
STAGES = {"depths": [1, 1, 2, 1], "hidden_sizes": [8, 16, 24, 32]}
PICTURES = {  # by family: the network's name in transformers, its configuration, and its image processor
    "vit": ("ViT", tower(), "ViT"),
    "dinov2": ("Dinov2", tower(mlp_ratio=2), "ViT"),
    "clip": ("CLIP", {"vision_config": tower(), "text_config": TEXT, "projection_dim": 12}, "CLIP"),
    "siglip": ("Siglip", {"vision_config": tower(), "text_config": TEXT}, "Siglip"),
    "convnext": ("ConvNext", {**STAGES, "image_size": 32}, "ViT"),
    "swin": (
        "Swin",
        {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "image_size": 32, "window_size": 4},
        "ViT",
    ),
    "resnet": ("ResNet", {**STAGES, "embedding_size": 8, "layer_type": "basic"}, "ViT"),
}


def save_pictures(folder: Path, family: str = "vit", *, seed: int = 0, head: str = "Model") -> Any:
    """Save a random picture network of a family with its image processor; return it, in evaluation mode."""
    import torch

    kind, settings, processor = PICTURES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = getattr(transformers, f"{kind}Config")(**settings)
        net = getattr(transformers, f"{kind}{head}")(config).eval()
        with torch.no_grad():
            for value in net.parameters():
                value.add_(0.1 * torch.randn(value.shape))
    net.save_pretrained(folder, safe_serialization=True)
    size = {"height": 32, "width": 32}
    crop = {"crop_size": size} if processor == "CLIP" else {}
    own = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}
    made = getattr(transformers, f"{processor}ImageProcessor")(size=size, do_normalize=True, **own, **crop)
    made.save_pretrained(folder)
    return net
