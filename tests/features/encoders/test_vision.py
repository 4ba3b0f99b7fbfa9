from __future__ import annotations

import hashlib
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from dualstream.features.encoder import EncoderOptions
from dualstream.features.encoders import vision
from dualstream.features.encoders.frozen import preprocess
from dualstream.features.encoders.vision import build_torchvision, build_vgg16
from numpy.typing import NDArray
from torch import nn
from torchvision.transforms import v2

from dualstream.cores import one_core

RANDOM = EncoderOptions(weights="random:0")
FAMILIES = ["resnet18", "densenet121", "mobilenet_v3_small", "mnasnet0_5", "shufflenet_v2_x0_5", "squeezenet1_1"]
MORE_FAMILIES = [
    *("alexnet", "vgg11_bn", "googlenet", "inception_v3", "efficientnet_b0", "convnext_tiny"),
    *("regnet_y_400mf", "resnext50_32x4d", "mobilenet_v2", "vit_b_32", "swin_t", "swin_v2_t", "maxvit_t"),
]
MINIMAL_SIZE_PX = {"googlenet": 96, "inception_v3": 299}  # networks with side exits


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def draw_frames(count: int, size_px: int, seed: int = 0) -> NDArray[np.uint8]:
    """Frames that differ from each other: a random low-resolution picture each, made larger."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 7, 7, 3), dtype=np.uint8)
    times = -(-size_px // 7)
    return coarse.repeat(times, 1).repeat(times, 2)[:, :size_px, :size_px].copy()


def reference(net: nn.Module, head: nn.Module, frames: NDArray[np.uint8], entry: object) -> NDArray[np.float32]:
    """What enters the last layer of the whole network, by a hook; torchvision's own normalisation."""
    seen: list[torch.Tensor] = []
    head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    expects = entry.transforms()  # type: ignore[attr-defined]
    pictures = v2.functional.to_dtype(torch.from_numpy(frames).permute(0, 3, 1, 2), torch.float32, scale=True)
    with torch.inference_mode(), one_core():  # random weights amplify what the number of threads changes
        net.eval()(v2.functional.normalize(pictures, expects.mean, expects.std))
    features = seen[0].mean(dim=(2, 3)) if seen[0].ndim == 4 else seen[0]
    return features.numpy()


def last_layer(net: nn.Module) -> nn.Module:
    layers = [m for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    return layers[-1]


def whole_network(name: str, seed: int = 3) -> nn.Module:
    published_with = {"transform_input": True, "init_weights": True} if name in MINIMAL_SIZE_PX else {}
    size_px = MINIMAL_SIZE_PX.get(name, 224 if name.startswith(("vit", "swin", "maxvit")) else 96)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = torchvision.models.get_model(name, **published_with)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # take the statistics of the next batch: fresh ones let signals fade
            elif isinstance(module, (nn.Dropout, torchvision.ops.StochasticDepth)):
                module.p = 0.0  # every branch shall be in the statistics
        with torch.no_grad():
            net.train()(torch.randn(8, 3, size_px, size_px))
    return net.eval()


def test_vgg16_is_fc7_after_its_relu() -> None:
    encoder = build_vgg16("", RANDOM)
    with torch.device("meta"):
        net = torchvision.models.vgg16(init_weights=False).eval()
    net.load_state_dict(encoder.network.state_dict(), strict=False, assign=True)
    frames = draw_frames(2, 224)
    pictures = v2.functional.to_dtype(torch.from_numpy(frames).permute(0, 3, 1, 2), torch.float32, scale=True)
    with torch.inference_mode():
        x = v2.functional.normalize(pictures, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        fc7 = net.classifier[:5](net.avgpool(net.features(x)).flatten(1)).numpy()
    rows = encoder.encode_frames(frames)
    assert rows.shape == (2, 4096) and rows.dtype == np.float32
    assert (rows >= 0).all() and 0.2 < (rows > 0).mean() < 0.8  # after the ReLU
    np.testing.assert_allclose(rows, fc7, rtol=1e-4, atol=1e-5 * fc7.max())
    assert (encoder.spec.raw_width, encoder.spec.width, encoder.frame_size_px) == (4096, 100, 224)


@pytest.mark.parametrize("name", [*FAMILIES, *(pytest.param(n, marks=pytest.mark.slow) for n in MORE_FAMILIES)])
def test_rows_are_what_enters_the_last_layer(name: str, tmp_path: Path) -> None:
    net = whole_network(name)
    path = tmp_path / "w.pth"
    torch.save(net.state_dict(), path)
    encoder = build_torchvision(name, EncoderOptions(weights=str(path)))
    entry = torchvision.models.get_model_weights(name).DEFAULT
    assert encoder.frame_size_px == entry.transforms().crop_size[0]
    frames = draw_frames(2, encoder.frame_size_px)
    expected = reference(net, last_layer(net), frames, entry)
    rows = encoder.encode_frames(frames)
    assert rows.shape == (2, encoder.spec.raw_width)
    np.testing.assert_allclose(rows, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert np.abs(rows[0] - rows[1]).max() > 1e-3 * np.abs(rows).max()


@pytest.mark.slow
def test_every_classification_network_has_one_last_layer() -> None:
    models = torchvision.models
    names = models.list_models(module=models)
    assert len(names) >= 80
    for name in names:
        if name.startswith("regnet") and name != "regnet_y_400mf":
            continue  # can't be made without memory; all regnets are one class
        if name.startswith("regnet"):
            net = models.get_model(name)
        else:
            extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
            extra |= {"aux_logits": False} if extra else {}
            with torch.device("meta"):
                net = models.get_model(name, **extra)
        layer = last_layer(net)
        head, width = vision._cut_head(net)
        assert width == layer.weight.shape[1], name
        assert isinstance(net.get_submodule(head), nn.Identity)


def test_imagenet_weights_from_the_hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = whole_network("squeezenet1_1")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(net.state_dict(), folder / "w")
    digest = hashlib.sha256((folder / "w").read_bytes()).hexdigest()
    (folder / "w").rename(folder / f"squeezenet1_1-{digest[:8]}.pth")
    entry = torchvision.models.SqueezeNet1_1_Weights.DEFAULT
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(entry.value, "url", f"https://download.pytorch.org/models/squeezenet1_1-{digest[:8]}.pth")
    encoder = build_torchvision("squeezenet1_1", EncoderOptions())  # imagenet is the default
    frames = draw_frames(2, 224)
    expected = reference(net, last_layer(net), frames, entry)
    np.testing.assert_allclose(encoder.encode_frames(frames), expected, rtol=1e-3, atol=1e-4 * expected.max())
    weights = encoder.spec.weights
    assert weights is not None and weights["source"] == "imagenet:IMAGENET1K_V1" and weights["sha256"] == digest


def test_imagenet_weights_that_are_not_there_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        build_vgg16("", EncoderOptions(weights="imagenet"))
    message = str(caught.value)
    for part in (
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        "licence",
        str(tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"),
        "`dualstream weights get vgg16` does that",
        "--video-weights random:0",
    ):
        assert part in message
    assert not list(tmp_path.rglob("*.pth"))


def test_a_damaged_file_in_the_hub_folder_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a download")
    with pytest.raises(ValueError, match=r"sha256 that begins with 397923af"):
        build_vgg16("", EncoderOptions())


def test_a_published_file_by_name_brings_its_own_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = torchvision.models.RegNet_Y_400MF_Weights.IMAGENET1K_V1  # not the default entry
    net = torchvision.models.get_model("regnet_y_400mf")
    path = tmp_path / Path(entry.url).name
    torch.save(net.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path = path.rename(tmp_path / f"regnet_y_400mf-{digest[:8]}.pth")
    monkeypatch.setattr(entry.value, "url", f"https://download.pytorch.org/models/{path.name}")
    monkeypatch.setitem(entry.value.meta, "license", "a licence of its own")
    encoder = build_torchvision("regnet_y_400mf", EncoderOptions(weights=str(path)))
    assert encoder.spec.weights == {"source": "file", "sha256": digest, "licence": "a licence of its own"}


def test_densenet_files_with_old_names(tmp_path: Path) -> None:
    net = whole_network("densenet121")
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): v for key, v in net.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    results = []
    for number, state in enumerate((net.state_dict(), old)):
        path = tmp_path / f"{number}.pth"
        torch.save(state, path)
        encoder = build_torchvision("densenet121", EncoderOptions(weights=str(path)))
        results.append(encoder.encode_frames(draw_frames(1, 224)))
    assert np.array_equal(*results)


def test_the_last_layer_of_a_file_does_not_matter(tmp_path: Path) -> None:
    net = whole_network("resnet18")
    torch.save(net.state_dict(), tmp_path / "a.pth")
    net.fc = nn.Linear(512, 7)
    torch.save(net.state_dict(), tmp_path / "b.pth")
    frames = draw_frames(1, 224)
    rows = [
        build_torchvision("resnet18", EncoderOptions(weights=str(tmp_path / f"{name}.pth"))).encode_frames(frames)
        for name in "ab"
    ]
    assert np.array_equal(*rows)


def test_files_of_other_networks_fail(tmp_path: Path) -> None:
    state = whole_network("resnet18").state_dict()
    path = tmp_path / "w.pth"
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"w.pth is not of this network .* it lacks layer1.2.conv1.weight"):
        build_torchvision("resnet34", EncoderOptions(weights=str(path)))
    del state["layer4.1.conv2.weight"]
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"lacks layer4.1.conv2.weight \(1\)"):
        build_torchvision("resnet18", EncoderOptions(weights=str(path)))
    state["layer4.1.conv2.weight"] = torch.ones(512, 512, 1, 1)
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"has another shape for layer4.1.conv2.weight"):
        build_torchvision("resnet18", EncoderOptions(weights=str(path)))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fasterrcnn_resnet50_fpn", "gives boxes"),
        ("deeplabv3_resnet50", "class for every pixel"),
        ("r3d_18", "not single ones"),
        ("raft_small", "gives motion"),
        ("quantized_resnet18", "int8"),
        ("resnet19", "no network that torchvision knows"),
        ("", "lacks a name"),
    ],
)
def test_names_of_no_backbone_fail(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"{reason}.*expected.*resnet18, .*wide_resnet50_2"):
        build_torchvision(name, RANDOM)


def test_vgg16_takes_no_argument() -> None:
    with pytest.raises(ValueError, match=r"expected vgg16"):
        build_vgg16("bn", RANDOM)


@pytest.mark.parametrize("name", ["vgg11_bn", "shufflenet_v2_x0_5"])
def test_random_weights_leave_torchs_own_numbers_alone(name: str) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    encoder = build_torchvision(name, RANDOM)
    assert torch.equal(torch.rand(3), expected)
    assert encoder.spec.weights is not None and encoder.spec.weights["source"] == "random:0"


@pytest.mark.parametrize("size_px", [100, 224, 300])
def test_preprocess_is_that_of_torchvision(size_px: int) -> None:
    frames = torch.from_numpy(draw_frames(2, size_px))
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    pictures = v2.functional.to_dtype(frames.permute(0, 3, 1, 2).contiguous(), torch.float32, scale=True)
    pictures = v2.functional.resize(pictures, [224, 224], antialias=True)
    ours = preprocess(frames, 224, mean, std)
    torch.testing.assert_close(ours, v2.functional.normalize(pictures, mean, std), rtol=0, atol=1e-5)
    assert ours.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["resnet18", pytest.param("vgg16", marks=pytest.mark.slow)])
def test_bf16_is_close_to_fp32(name: str) -> None:
    frames = draw_frames(3, 224)
    rows = [
        build_torchvision(name, EncoderOptions(weights="random:0", precision=p)).encode_frames(frames)
        for p in ("fp32", "bf16")
    ]
    assert rows[1].dtype == np.float32 and not np.array_equal(*rows)
    for one, other in zip(*rows, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.999


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "convnext_tiny", "vit_b_32", "swin_t", "swin_v2_t", "maxvit_t"]
)
def test_bf16_is_close_to_fp32_in_other_families(name: str) -> None:
    test_bf16_is_close_to_fp32(name)


def test_bf16_is_what_autocast_gives() -> None:
    frames = draw_frames(2, 224)
    encoder = build_torchvision("resnet18", EncoderOptions(weights="random:5", precision="bf16"))
    plain = build_torchvision("resnet18", EncoderOptions(weights="random:5"))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        x = preprocess(torch.from_numpy(frames), 224, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        expected = plain.network(x).float().numpy()
    assert np.array_equal(encoder.encode_frames(frames), expected)


def test_devices_that_are_not_there_fail() -> None:
    with pytest.raises(ValueError, match=r"expected cpu, cuda or cuda:N"):
        build_torchvision("resnet18", EncoderOptions(weights="random:0", device="tpu"))
    with pytest.raises(ValueError, match=r"expected cpu, cuda or cuda:N"):
        build_torchvision("resnet18", EncoderOptions(weights="random:0", device="meta"))
    with pytest.raises(ValueError, match=r"sees \d+ CUDA devices"):
        build_torchvision("resnet18", EncoderOptions(weights="random:0", device="cuda:99"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cuda_rows_are_those_of_the_cpu(precision: str) -> None:
    frames = draw_frames(3, 224)
    rows = {}
    for device in ("cpu", "cuda"):
        options = EncoderOptions(weights="random:0", device=device, precision=precision)  # type: ignore[arg-type]
        encoder = build_vgg16("", options)
        rows[device] = encoder.encode_frames(frames)
        assert np.array_equal(rows[device], encoder.encode_frames(frames))
        if encoder.overlaps:
            waits = [encoder.begin_frames(frames) for _ in range(3)]
            assert all(np.array_equal(rows[device], wait()) for wait in waits)
    tolerance = 1e-4 if precision == "fp32" else 0.05
    np.testing.assert_allclose(rows["cuda"], rows["cpu"], atol=tolerance * rows["cpu"].max())
