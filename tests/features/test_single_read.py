"""The digest is that of the bytes that were read, whatever is put at a file's name meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from dualstream.features import single_read, weights
from dualstream.features.encoders import table_csv, table_files
from dualstream.features.encoders.table_columns import Columns
from dualstream.features.encoders.table_files import TableError, read_table
from dualstream.features.single_read import open_hashed, read_hashed
from dualstream.features.weights import load_file
from safetensors.torch import save_file

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def test_the_digest_is_the_published_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    with open_hashed(tmp_path / "abc") as (file, sha256):
        assert (file.read(), sha256) == (b"abc", ABC)
    assert read_hashed(tmp_path / "abc") == (b"abc", ABC)


def test_a_file_that_is_replaced_meanwhile_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    with open_hashed(path) as (file, sha256):
        (tmp_path / "new").write_bytes(b"other")
        os.replace(tmp_path / "new", path)
        assert (file.read(), sha256) == (b"abc", ABC)


def test_a_file_that_is_written_to_meanwhile_fails(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")

    def read_and_write() -> None:
        with open_hashed(path) as (file, _):
            file.read()
            path.write_bytes(b"abcd")

    with pytest.raises(ValueError, match="changed while it was read"):
        read_and_write()


def write_weights(path: Path, value: float) -> None:
    state = {"w": torch.full((2,), value)}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)


def write_table(path: Path, value: float) -> None:
    if path.suffix == ".csv":
        path.write_text(f"id,f0\nu0,{value}\n")
    else:
        np.savez(path, id=np.array(["u0"]), features=np.full((1, 1), value))


def load_weights(path: Path) -> tuple[float, str]:
    state, sha256, _ = load_file(path)
    return float(state["w"][0]), sha256


def load_table(path: Path) -> tuple[float, str]:
    table = read_table(path)
    return float(table.features[0, 0]), table.sha256


@pytest.mark.parametrize(
    ("name", "write", "load", "module"),
    [
        ("w.pth", write_weights, load_weights, weights),
        ("w.safetensors", write_weights, load_weights, weights),
        ("t.csv", write_table, load_table, table_files),
        ("t.npz", write_table, load_table, table_files),
    ],
)
def test_values_and_digest_are_of_one_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    write: Callable[[Path, float], None],
    load: Callable[[Path], tuple[float, str]],
    module: object,
) -> None:
    """Another file takes the place of the one that was just hashed."""
    path, other = tmp_path / name, tmp_path / f"other_{name}"
    write(path, 1.0)
    write(other, 2.0)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    real = hashlib.file_digest

    def hashed_then_replaced(file: object, kind: str) -> object:
        found = real(file, kind)  # type: ignore[arg-type]
        os.replace(other, path)
        return found

    monkeypatch.setattr(single_read.hashlib, "file_digest", hashed_then_replaced)
    assert load(path) == (1.0, digest)


def test_a_table_that_grows_while_it_is_read_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    write_table(path, 1.0)
    real = table_csv.sorted_columns

    def grown(*how: object, **options: bool) -> Columns:  # the header is read, the digest is taken
        with path.open("a") as file:
            file.write("u1,2\n")
        return real(*how, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(table_csv, "sorted_columns", grown)
    with pytest.raises(TableError, match="changed while it was read"):
        read_table(path)
