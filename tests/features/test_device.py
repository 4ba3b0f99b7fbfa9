"""The device that ``auto`` stands for."""

import sys

import pytest
import torch
from dualstream.features import device
from dualstream.features.device import choose_device, may_have_gpu


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1", "nonsense"])
def test_a_name_stays(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # and torch is not asked
    assert choose_device(name) == name


@pytest.mark.parametrize(("found", "chosen"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_what_torch_finds(found, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    monkeypatch.setattr(device, "may_have_gpu", lambda: True)
    assert choose_device("auto") == chosen


def test_auto_without_torch_is_the_cpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(device, "may_have_gpu", lambda: True)
    assert choose_device("auto") == "cpu"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libraries of Linux")
def test_torch_is_imported_only_where_a_driver_is(monkeypatch, tmp_path):
    """A library of the C compiler's stands for the driver's."""
    monkeypatch.setattr(device, "GPU_DEVICES", (str(tmp_path / "none"),))
    monkeypatch.setattr(device, "NVIDIA_DRIVER", "libc.so.6")
    assert may_have_gpu()
    monkeypatch.setattr(device, "NVIDIA_DRIVER", "libnone.so.1")
    assert not may_have_gpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("torch was asked"))
    assert choose_device("auto") == "cpu"
    monkeypatch.setattr(device, "GPU_DEVICES", (str(tmp_path / "none"), str(tmp_path)))
    assert may_have_gpu()


def test_what_torch_finds_is_never_ruled_out():
    assert may_have_gpu() or not torch.cuda.is_available()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="devices of Linux")
@pytest.mark.parametrize("path", ["/dev/kfd", "/dev/dxg", "/dev/nvidiactl"])
def test_a_gpu_may_be_there_without_a_driver_that_is_found_by_name(path, monkeypatch):
    """AMD's; in WSL, where AMD's has another device; NVIDIA's, where torch knows the driver's folder (NixOS)."""
    monkeypatch.setattr(device, "NVIDIA_DRIVER", "libnone.so.1")
    monkeypatch.setattr(device.os.path, "exists", lambda other: other == path)
    assert may_have_gpu()
