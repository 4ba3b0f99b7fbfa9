"""An address of Ray's client is refused before anything is made, whether or not ray is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.extraction.ray_session import refuse_client_address

from tests.pipeline.stubs import make_corpus, run_extract


@pytest.mark.parametrize("by_option", [True, False])
def test_an_address_of_rays_client_fails_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_option: bool
) -> None:
    corpus, out = make_corpus(tmp_path / "clips", 3), tmp_path / "out" / "cache.h5"
    monkeypatch.setenv("RAY_ADDRESS", "ray://head.example:10001")
    how = {"ray_address": "ray://head.example:10001"} if by_option else {}
    named = "--ray-address" if by_option else "RAY_ADDRESS"
    with pytest.raises(UsageError, match=named) as caught:
        run_extract(corpus, out, executor="ray", **how)
    for words in ("ray://head.example:10001 is an address of Ray's client", "--ray-address auto",
                  "http://head.example:8265", "--ray-address head.example:6379"):  # fmt: skip
        assert words in str(caught.value)
    assert caught.value.exit_status == 2 and not out.parent.exists()


@pytest.mark.parametrize("address", [None, "auto", "head:6379", "local"])
def test_other_addresses_pass(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    refuse_client_address(address)
