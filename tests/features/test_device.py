"""The device that ``auto`` stands for."""

import sys

import pytest
import torch
from dualstream.features.device import choose_device


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1", "nonsense"])
def test_a_name_stays(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # and torch is not asked
    assert choose_device(name) == name


@pytest.mark.parametrize(("found", "chosen"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_what_torch_finds(found, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    assert choose_device("auto") == chosen


def test_auto_without_torch_is_the_cpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert choose_device("auto") == "cpu"
