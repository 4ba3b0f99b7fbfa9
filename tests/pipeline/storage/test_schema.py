"""What a file of one kind may hold."""

from __future__ import annotations

import pytest
from dualstream.pipeline.storage.schema import TEXT, Field, Schema, require_all

SCHEMA = Schema(
    kind="toy",
    version=3,
    fields={
        "title": Field(TEXT, 0),
        "people/name": Field(TEXT, 1),
        "people/age": Field("<i4", 1, required=False),
        "streams/*/rows": Field("<f4", 2),
        "streams/*/fit/mean": Field("<f4", 1),
    },
)


@pytest.mark.parametrize(
    ("path", "rank"),
    [("title", 0), ("people/age", 1), ("streams/video/rows", 2), ("streams/video.face-2_a/rows", 2), ("streams/a/fit/mean", 1)],
)  # fmt: skip
def test_a_field_by_its_path(path, rank):
    found = SCHEMA.field(path)
    assert found is not None and found.rank == rank


@pytest.mark.parametrize(
    "path",
    ["", "titles", "people", "people/name/x", "streams/rows", "streams/Video/rows", "streams/2d/rows", "streams/a/b/rows",
     "streams//rows", "streams/../rows", f"streams/{'a' * 65}/rows", "streams/a\n/rows", "xstreams/a/rows"],
)  # fmt: skip
def test_what_stands_in_no_schema(path):
    assert SCHEMA.field(path) is None


@pytest.mark.parametrize(
    ("path", "group"),
    [("people", True), ("streams", True), ("streams/video", True), ("streams/video/fit", True), ("streams/video/rows/x", False),
     ("other", False), ("streams/Video", False), ("streams/a/other", False)],
)  # fmt: skip
def test_where_groups_may_stand(path, group):
    assert SCHEMA.is_group(path) is group


def test_all_that_is_required_is_there():
    require_all(SCHEMA, {"title", "people/name"})  # no stream, and so none of its fields
    require_all(SCHEMA, {"title", "people/name", "streams/a/rows", "streams/a/fit/mean"})


@pytest.mark.parametrize(
    ("paths", "missing"),
    [
        ({"people/name"}, "/title"),
        ({"title"}, "/people/name"),
        ({"title", "people/age"}, "/people/name"),
        ({"title", "people/name", "streams/a/other", "streams/b/rows"}, "/streams/a/rows"),
    ],
)
def test_what_is_missing_is_named(paths, missing):
    with pytest.raises(ValueError, match=f"^{missing} is missing$"):
        require_all(SCHEMA, paths)
