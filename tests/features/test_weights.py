from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from dualstream.features.weights import WeightsChoice, check_digest_in_name, digest_of_state, load_file
from safetensors.torch import save_file


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("imagenet", WeightsChoice("imagenet")),
        ("random:0", WeightsChoice("random", seed=0)),
        ("random:9223372036854775807", WeightsChoice("random", seed=2**63 - 1)),
        ("w/cnn5.safetensors", WeightsChoice("file", path=Path("w/cnn5.safetensors"))),
    ],
)
def test_parse(text: str, choice: WeightsChoice) -> None:
    assert WeightsChoice.parse(text) == choice


@pytest.mark.parametrize(
    "text", ["random", "random:", "random:-1", "random:x", "random:1.5", "random:²", "random:" + "9" * 20, ""]
)
def test_parse_fails(text: str) -> None:
    with pytest.raises(ValueError, match=r"random:SEED"):
        WeightsChoice.parse(text)


def test_digest_of_state_sees_names_values_and_types() -> None:
    state = {"a": torch.arange(4.0), "b": torch.zeros(2)}
    same = digest_of_state(dict(reversed(state.items())))
    assert same == digest_of_state(state)
    others = [
        {"a": torch.arange(4.0), "c": torch.zeros(2)},
        {"a": torch.arange(4.0), "b": torch.tensor([0.0, 1.0])},
        {"a": torch.arange(4.0).view(2, 2), "b": torch.zeros(2)},
        {"a": torch.arange(4.0), "b": torch.zeros(2, dtype=torch.int32)},
    ]
    assert len({same, *map(digest_of_state, others)}) == 5


def test_safetensors_with_licence(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"x": torch.tensor([1.5, -2.0], dtype=torch.float16)}, path, metadata={"licence": "CC0-1.0"})
    state, sha256, licence = load_file(path)
    assert state["x"].dtype == torch.float32 and state["x"].tolist() == [1.5, -2.0]
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert licence == "CC0-1.0"


def test_pth_with_its_digest_in_its_name(tmp_path: Path) -> None:
    plain = tmp_path / "w.pth"
    torch.save(OrderedDict(x=torch.ones(3), n=torch.tensor(7)), plain)
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    path = plain.rename(tmp_path / f"w-{digest[:8]}.pth")
    state, sha256, licence = load_file(path)
    assert sha256 == digest and licence is None
    assert state["x"].tolist() == [1, 1, 1] and int(state["n"]) == 7


def test_pth_with_its_digest_in_its_name_fails(tmp_path: Path) -> None:
    path = tmp_path / "vgg16-397923af.pth"
    torch.save({"x": torch.ones(3)}, path)
    with pytest.raises(ValueError, match=r"begins with 397923af, its bytes have [0-9a-f]{64}"):
        load_file(path)


@pytest.mark.parametrize("name", ["resnet18.pth", "my-model.pth", "net-abc.pth", "a-12345678.txt"])
def test_names_that_state_no_digest(name: str) -> None:
    check_digest_in_name(name, "f" * 64)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code in a weights file was run')",))


def test_pickled_code_fails(tmp_path: Path) -> None:
    saved, pickled = tmp_path / "a.pth", tmp_path / "b.pt"
    torch.save({"x": Payload()}, saved)
    pickled.write_bytes(pickle.dumps({"x": Payload()}, protocol=2))
    for path in (saved, pickled):
        with pytest.raises(ValueError, match="can't be read as plain tensors"):
            load_file(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "state_dict": {"x": torch.ones(1)}}, "holds epoch, state_dict beside tensors"),
        ({}, "holds nothing"),
        ([torch.ones(1)], "holds a list"),
        ({"x": torch.tensor([1.0, float("nan")])}, "x holds NaN or infinity"),
    ],
)
def test_other_content_fails(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "w.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        load_file(path)


def test_damaged_files_fail(tmp_path: Path) -> None:
    whole = tmp_path / "whole.safetensors"
    save_file({"x": torch.ones(100)}, whole)
    torch.save({"x": torch.ones(100)}, tmp_path / "whole.pth")
    for suffix in ("safetensors", "pth"):
        data = (tmp_path / f"whole.{suffix}").read_bytes()
        for length in (0, 10, len(data) // 2, len(data) - 30):
            path = tmp_path / f"cut.{suffix}"
            path.write_bytes(data[:length])
            with pytest.raises(ValueError, match="can't be read"):
                load_file(path)


def test_missing_and_unknown_files_fail(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not exist; expected"):
        load_file(tmp_path / "none.pth")
    (tmp_path / "w.h5").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"ends in '.h5'; expected .safetensors"):
        load_file(tmp_path / "w.h5")
