"""A cache as a data frame, tensors, Parquet and a notebook's table."""

import dataclasses
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from dualstream.pipeline.errors import UsageError

from tests.pipeline.caches import random_cache

STREAMS = {"video": 5, "audio": 3, "video.table-au": 2}


@pytest.fixture
def cache():
    return random_cache(12)


def test_one_row_per_utterance(cache):
    pytest.importorskip("pandas")
    frame = cache.to_pandas()
    rows = cache.utterances
    assert list(frame["id"]) == rows.id and list(frame["split"]) == rows.split
    assert list(frame["windows"]) == [int(b - a) for a, b in zip(cache.offsets, cache.offsets[1:], strict=False)]
    names = ["neutral", "joy", "anger"]
    for at, code in enumerate(rows.emotion):
        label = frame["emotion"].iloc[at]
        assert label == names[code] if code >= 0 else label is None or label != label
    for name, width in STREAMS.items():
        features = frame[[f"{name}:{k}" for k in range(width)]].to_numpy()
        there = cache.streams[name].present
        assert (features[there] == cache.streams[name].utterance[there]).all()
        assert np.isnan(features[~there]).all() and not there.all()
        assert (frame[f"has_{name}"] == there).all()


def test_one_row_per_window(cache):
    pytest.importorskip("pandas")
    frame = cache.to_pandas(windows=True)
    assert len(frame) == cache.offsets[-1]
    for at, name in enumerate(cache.utterances.id):
        own = frame[frame["id"] == name]
        assert list(own["window"]) == list(range(len(own)))
        rows = slice(int(cache.offsets[at]), int(cache.offsets[at + 1]))
        there = cache.streams["audio"].window_present[rows]
        expected = cache.streams["audio"].windows[rows]
        found = own[["audio:0", "audio:1", "audio:2"]].to_numpy()
        assert (found[there] == expected[there]).all() and np.isnan(found[~there]).all()
        assert list(own["start_s"]) == list(cache.start_s[rows])
    assert not [column for column in frame if "table-au" in column]  # it has no windows


def test_columns_that_an_encoder_names_keep_their_names(cache):
    audio = cache.streams["audio"]
    named = dataclasses.replace(audio, spec={**audio.spec, "column_names": ["f0", "loudness", "present"]})
    columns = dataclasses.replace(cache, streams={"audio": named}).columns()
    there = audio.present
    assert (columns["audio:loudness"][there] == audio.utterance[there, 1]).all()
    assert (columns["has_audio"] == there).all() and columns["audio:present"].dtype == np.float32


def test_parquet_holds_the_same_table(cache, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    for windows in (False, True):
        place = cache.to_parquet(str(tmp_path / f"{windows}.parquet"), windows=windows)
        expected = cache.to_pandas(windows=windows)
        pandas.testing.assert_frame_equal(pandas.read_parquet(place), expected, check_dtype=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["False.parquet", "True.parquet"]


def test_tensors_are_copies_of_every_array(cache):
    torch = pytest.importorskip("torch")
    found = cache.to_torch()
    assert found["emotion"].dtype == torch.int64 and found["emotion"].tolist() == cache.utterances.emotion.tolist()
    assert found["in_dev"].tolist() == [split == "dev" for split in cache.utterances.split]
    for name, width in STREAMS.items():
        assert found[name].shape == (12, width) and found[name].dtype == torch.float32
        assert (found[name].numpy() == cache.streams[name].utterance).all()
    assert found["video_windows"].shape == (int(cache.offsets[-1]), 5)
    assert "video.table-au_windows" not in found
    before = cache.streams["video"].utterance.copy()
    found["video"] += 1
    assert (cache.streams["video"].utterance == before).all()
    loss = torch.nn.functional.cross_entropy(torch.zeros(12, 3), found["emotion"], ignore_index=-1)
    assert loss.item() == pytest.approx(np.log(3))


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.cells = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.cells += [""] if tag in ("td", "th") else []

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


def test_a_notebook_shows_streams_and_labels_escaped(cache):
    odd = "<script>alert(1)</script>"
    vocabulary = {**cache.vocabulary, "emotion": [odd, "joy", "anger"]}
    page = Cells()
    page.feed(dataclasses.replace(cache, vocabulary=vocabulary)._repr_html_())
    assert page.tags <= {"p", "b", "table", "thead", "tbody", "tr", "td", "th"}
    at = page.cells.index(odd)
    rows = cache.utterances
    expected = [
        sum(split == one and code == 0 for one, code in zip(rows.split, rows.emotion, strict=True))
        for split in dict.fromkeys(rows.split)
    ]
    assert [int(cell) for cell in page.cells[at + 1 : at + 4]] == expected
    assert "(12, 5)" in page.cells and "none" in page.cells


@pytest.mark.parametrize(
    ("module", "call"), [("pandas", "to_pandas"), ("torch", "to_torch"), ("pyarrow", "to_parquet")]
)
def test_a_missing_package_is_named_with_what_to_type(cache, monkeypatch, tmp_path, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    arguments = [tmp_path / "x.parquet"] if call == "to_parquet" else []
    with pytest.raises(UsageError, match=f"{call} needs the package {module}: pip install {module}"):
        getattr(cache, call)(*arguments)
