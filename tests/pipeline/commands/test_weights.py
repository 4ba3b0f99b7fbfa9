"""weights: what is listed, and what comes from a server on the loopback address."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dualstream.features import published
from dualstream.features.pretrained.folder import Named
from dualstream.features.published import PUBLISHED, PublishedFile, find_published, on_hub
from dualstream.pipeline.commands import weights
from dualstream.pipeline.errors import DualstreamError, UsageError
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.storage.loopback import DATA, SHA256, Site, fetcher, serving


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with serving() as made:
        yield made


def plant(site: Site, monkeypatch: pytest.MonkeyPatch, name: str = "expression", sha256: str = SHA256) -> None:
    """Have a set of weights consist of one file of the server's."""
    file = PublishedFile("face.bin", f"{site.url}/face.bin", len(DATA), sha256)
    monkeypatch.setitem(PUBLISHED, name, replace(PUBLISHED[name], files=(file,)))


def refuse(*how: Any, **more: Any) -> Any:
    pytest.fail("a connection was opened")


def test_the_list_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", refuse)
    done = CliRunner().invoke(cli.app, ["weights", "list", "--json"])
    assert done.exit_code == 0
    rows = json.loads(done.stdout)["weights"]
    assert [one["name"] for one in rows] == list(PUBLISHED)
    for one in rows:
        assert one["licence"] and one["size"] > 0 and "https://" in one["source"] and one["use"]
    text = CliRunner().invoke(cli.app, ["weights", "list"]).stdout
    assert "expression" in text and "licence: MIT" in text and "0.3 MB" in text


def test_every_url_is_https_and_every_file_has_a_name_of_its_own() -> None:
    for one in PUBLISHED.values():
        assert all(file.url.startswith("https://") and Path(file.name).name == file.name for file in one.files)
        assert len({file.name for file in one.files}) == len(one.files)


def test_weights_come_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(site, monkeypatch)
    notes: list[str] = []
    document = weights.get("expression", fetcher=fetcher(), notice=notes.append)
    place = Path(document["folder"]) / "face.bin"
    assert place.read_bytes() == DATA and document["there"] and document["sha256"] == {"face.bin": SHA256}
    assert "MIT" in notes[0] and "1.0 MB" in notes[0] and "vladmandic/face-api" in notes[0]
    weights.get("expression", fetcher=fetcher(), notice=notes.append)
    assert len(site.asked) == 1 and notes[-1].endswith("is there")


def test_a_damaged_file_is_fetched_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(site, monkeypatch)
    place = PUBLISHED["expression"].folder() / "face.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"damaged")
    weights.get("expression", fetcher=fetcher())
    assert place.read_bytes() == DATA


def test_torchvisions_files_lie_with_torch_hubs(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plant(site, monkeypatch, "vgg16")
    weights.get("vgg16", fetcher=fetcher())
    assert (tmp_path / "torch" / "hub" / "checkpoints" / "face.bin").read_bytes() == DATA


def test_another_digest_fails_and_leaves_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(site, monkeypatch, sha256="0" * 64)
    with pytest.raises(DualstreamError, match="it is not kept"):
        weights.get("expression", fetcher=fetcher())
    assert not PUBLISHED["expression"].is_there()


def test_a_model_of_a_hub_by_its_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.headers = {"X-Linked-ETag": SHA256, "X-Repo-Commit": "c" * 40}

    def local(model: str, *how: Any) -> Any:
        made = on_hub(model, *how)
        files = (replace(file, url=f"{site.url}/{file.name}") for file in made.files)
        return replace(made, files=tuple(files))

    monkeypatch.setattr(published, "on_hub", local)
    document = weights.get("owner/model-1.0", fetcher=fetcher())
    assert set(document["sha256"]) == {"config.json", "preprocessor_config.json", "model.safetensors"}
    assert document["use"] == "hf:owner/model-1.0" and document["folder"].endswith("owner--model-1.0")
    assert Named.parse("owner/model-1.0@2").path == Path(document["folder"])


def test_a_model_without_safetensors_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    file = PublishedFile("model.safetensors", f"{site.url}/absent", None, "")
    monkeypatch.setitem(PUBLISHED, "expression", replace(PUBLISHED["expression"], files=(file,)))
    with pytest.raises(DualstreamError, match=r"answers 404.*has no safetensors there"):
        weights.get("expression", fetcher=fetcher())


def test_names_of_torchvision() -> None:
    pytest.importorskip("torchvision")
    found = find_published("torchvision:resnet18")
    (file,) = found.files
    assert file.url == f"https://download.pytorch.org/models/{file.name}" and f"-{file.sha256}.pth" in file.name
    with pytest.raises(ValueError, match="no classification network 'nonsense'"):
        find_published("torchvision:nonsense")


@pytest.mark.parametrize("name", ["nonsense", "../up", "a/b/c", "a/..", "-x/y"])
def test_names_that_are_none_fail(name: str) -> None:
    with pytest.raises(UsageError, match=r"no weights are called .*expression"):
        weights.get(name)


@pytest.mark.parametrize("words", [["get"], ["list", "expression"], ["fetch", "expression"]])
def test_words_that_do_not_fit_end_with_2(words: list[str]) -> None:
    assert CliRunner().invoke(cli.app, ["weights", *words]).exit_code == 2
