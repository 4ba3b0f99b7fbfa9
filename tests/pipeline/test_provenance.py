"""The fingerprint is one for one recipe, and what differs is named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from dualstream.features.single_read import digest_of_file
from dualstream.pipeline.errors import FingerprintMismatchError
from dualstream.pipeline.provenance import canonical_json, differences, fingerprint, require_same
from hypothesis import given
from hypothesis import strategies as st

RECIPE = {
    "sampling": "aligned",
    "windows": {"hop_s": 0.5, "length_s": 1.0},
    "streams": {"video": {"name": "vgg16"}},
}


def test_fingerprint_is_sha256_of_sorted_json() -> None:
    assert (
        fingerprint({"b": 1, "a": [1.5, None, "é"]})
        == hashlib.sha256('{"a":[1.5,null,"é"],"b":1}'.encode()).hexdigest()
    )


def test_order_of_keys_does_not_matter() -> None:
    assert fingerprint(dict(reversed(RECIPE.items()))) == fingerprint(RECIPE)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=10,
    )
)
def test_same_value_has_no_differences(value: object) -> None:
    assert differences(value, value) == []


def test_non_finite_numbers_fail() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"hop_s": float("nan")})


def test_differences_are_named() -> None:
    other = {**RECIPE, "windows": {"hop_s": 0.25, "length_s": 1.0}, "streams": {"audio": 1}}
    assert differences(RECIPE, other) == [
        "streams.audio: absent, there 1",
        'streams.video: {"name":"vgg16"}, absent there',
        "windows.hop_s: 0.5, there 0.25",
    ]


def test_mixing_is_refused_by_name() -> None:
    require_same(RECIPE, RECIPE, "a cache", "")
    with pytest.raises(FingerprintMismatchError, match=r"sampling: \"aligned\", there \"every:3\"") as caught:
        require_same(RECIPE, {**RECIPE, "sampling": "every:3"}, "cache.h5", "Say --replace")
    assert caught.value.exit_status == 12
    assert "Say --replace" in str(caught.value)


def test_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 500_000)
    assert digest_of_file(tmp_path / "x") == hashlib.sha256(b"abc" * 500_000).hexdigest()
