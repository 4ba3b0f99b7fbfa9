"""Streams are chosen, dialogues and speakers coded, folds assigned without shared groups, speakers normalised."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
from dualstream.heads.data.speaker_prior import SpeakerPrior
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.cache import file as cache_file
from dualstream.pipeline.errors import NoCacheError, UsageError
from dualstream.pipeline.experiments.corpus_folds import folds, named_folds, shared_between
from dualstream.pipeline.experiments.protocol import plan
from dualstream.pipeline.experiments.training_data import corpus_of, read_corpus

from tests.pipeline.planted_corpus import planted_cache


def with_rows(cache: Cache, **columns: object) -> Cache:
    return dataclasses.replace(cache, utterances=dataclasses.replace(cache.utterances, **columns))


def with_streams(cache: Cache, names: dict[str, str]) -> Cache:
    """Rename streams: new name → old name."""
    streams = {new: dataclasses.replace(cache.streams[old], name=new) for new, old in names.items()}
    return dataclasses.replace(cache, streams=streams)


def test_corpus_carries_the_cache_as_it_is() -> None:
    cache = planted_cache()
    corpus = corpus_of(cache)
    assert corpus.split_sizes() == {"train": 240, "dev": 80, "test": 80}
    assert corpus.fingerprint == "f" * 64
    features = corpus.take(corpus.split("dev"))
    np.testing.assert_array_equal(features.emotion, cache.utterances.emotion[240:320])
    first = cache.offsets[240]
    np.testing.assert_array_equal(
        features.streams["video"].windows, cache.streams["video"].windows[first : cache.offsets[320]]
    )
    # 1 in 25 failed altogether, and those have no stream
    assert list(np.flatnonzero(~corpus.usable)) == [
        i for i in range(400) if cache.utterances.status[i] == "failed"
    ]
    assert set(corpus.train(np.arange(400))) == set(np.flatnonzero(corpus.usable))


def test_one_dialogue_name_in_two_splits_is_two_dialogues() -> None:
    corpus = corpus_of(planted_cache())
    code = dict(zip(corpus.ids, corpus.features.dialogue.tolist(), strict=True))
    assert code["train_0000"] == code["train_0004"] != code["train_0005"]
    assert len({code["train_0000"], code["dev_0000"], code["test_0000"]}) == 3


def test_utterances_without_dialogue_or_speaker_stand_alone() -> None:
    cache = planted_cache()
    bare = corpus_of(with_rows(cache, dialogue=[""] * 400, speaker=[""] * 400, turn=np.full(400, -1, np.int32)))
    assert len(np.unique(bare.features.dialogue)) == 400
    assert (bare.features.speaker == -1).all()
    np.testing.assert_array_equal(bare.features.turn, np.arange(400))
    index = bare.split("dev")
    assert bare.clusters(index)[0] == "utterance"


def test_bootstrap_groups_follow_dialogues_then_speakers() -> None:
    cache = planted_cache()
    corpus = corpus_of(cache)
    index = corpus.split("dev")
    what, codes = corpus.clusters(index)
    assert (what, len(np.unique(codes))) == ("dialogue", 16)
    what, codes = corpus.clusters(index, "speaker:3")
    assert (what, len(np.unique(codes))) == ("speaker", 6)
    no_dialogues = corpus_of(with_rows(cache, dialogue=[""] * 400))
    assert no_dialogues.clusters(index)[0] == "speaker"


def test_streams_are_chosen_by_name() -> None:
    several = with_streams(planted_cache(), {"video": "video", "video.cnn5": "video", "audio": "audio"})
    assert corpus_of(several).streams == {"video": "video", "audio": "audio"}
    chosen = corpus_of(several, streams={"video": "video.cnn5"})
    assert chosen.streams == {"video": "video.cnn5"}
    assert list(chosen.features.streams) == ["video"]


def test_the_only_stream_of_its_kind_is_taken() -> None:
    one = with_streams(planted_cache(), {"video.cnn5": "video", "audio": "audio"})
    assert corpus_of(one).streams == {"video": "video.cnn5", "audio": "audio"}


def test_streams_that_are_not_clear_fail() -> None:
    cache = planted_cache()
    with pytest.raises(UsageError, match=r"--streams video=video\.cnn5"):
        corpus_of(with_streams(cache, {"video.vgg16": "video", "video.cnn5": "video"}))
    with pytest.raises(UsageError, match="no stream 'face'; it has: audio, video"):
        corpus_of(cache, streams={"video": "face"})
    with pytest.raises(UsageError, match="heads know video and audio"):
        corpus_of(cache, streams={"text": "audio"})


def test_missing_split_fails_with_the_splits_there_are() -> None:
    corpus = corpus_of(planted_cache(sizes={"train": 30}))
    with pytest.raises(UsageError, match=r"no dev split; its splits are: train \(30\)"):
        corpus.split("dev")


def test_missing_cache_fails(tmp_path) -> None:
    with pytest.raises(NoCacheError):
        read_corpus(tmp_path / "none.h5")


@pytest.mark.parametrize(("by", "count"), [("speaker", 6), ("speaker:3", 3), ("4", 4), ("dialogue:5", 5)])
def test_folds_share_no_group_and_cover_everything_but_test(by: str, count: int) -> None:
    corpus = corpus_of(planted_cache())
    parts = folds(corpus, by)
    assert len(parts) == count
    names = corpus.dialogues if by.startswith("dialogue") else corpus.speakers
    held = np.concatenate([part.held_out for part in parts])
    np.testing.assert_array_equal(np.sort(held), np.flatnonzero(corpus.splits != "test"))
    for part in parts:
        three = [set(names[index]) for index in (part.fit, part.stop, part.held_out)]
        assert not (three[0] & three[1] or three[0] & three[2] or three[1] & three[2])
        assert len(part.fit) + len(part.stop) + len(part.held_out) == 320
        assert "test" not in corpus.splits[part.fit]
    sizes = [len(part.held_out) for part in parts]
    assert max(sizes) - min(sizes) <= 60  # one speaker's worth


def test_two_folds_keep_nothing_for_early_stopping() -> None:
    parts = folds(corpus_of(planted_cache()), "speaker:2")
    assert [len(part.stop) for part in parts] == [0, 0]


def test_many_speakers_are_dealt_into_ten_folds() -> None:
    assert len(folds(corpus_of(planted_cache(speakers=24)), "speaker")) == 10


@pytest.mark.parametrize("by", ["speakers", "speaker:", "speaker:x", "1", "7", "speaker:1", ""])
def test_folds_that_make_no_sense_fail(by: str) -> None:
    with pytest.raises(UsageError, match="--folds"):
        folds(corpus_of(planted_cache()), by)


def test_utterances_without_dialogues_are_folded_one_by_one() -> None:
    corpus = corpus_of(with_rows(planted_cache(), dialogue=[""] * 400, speaker=[""] * 400))
    assert [len(part.held_out) for part in folds(corpus, "dialogue:5")] == [64] * 5
    assert [len(part.held_out) for part in folds(corpus, "5")] == [64] * 5


def test_folds_without_speakers_fail() -> None:
    cache = with_rows(planted_cache(), speaker=[""] * 400)
    with pytest.raises(UsageError, match="no utterance outside the test split has a speaker"):
        folds(corpus_of(cache), "speaker")


def shifted_speakers(cache: Cache) -> tuple[Cache, np.ndarray]:
    """Move the video of four speakers by what is far more than their utterances differ."""
    speaker = corpus_of(cache).features.speaker
    video = cache.streams["video"]
    offset = np.array([0.0, 30.0, -30.0, 90.0], dtype=np.float32)[speaker][:, None]
    moved = dataclasses.replace(video, utterance=video.utterance + np.where(video.present[:, None], offset, 0))
    return dataclasses.replace(cache, streams={**cache.streams, "video": moved}), speaker


def with_video(cache: Cache, rows: np.ndarray) -> Cache:
    streams = {**cache.streams, "video": dataclasses.replace(cache.streams["video"], utterance=rows)}
    return dataclasses.replace(cache, streams=streams)


def same_prior(one: SpeakerPrior, two: SpeakerPrior) -> bool:
    (first, said), (second, told) = one.state(), two.state()
    return said == told and all(np.array_equal(first[key], second[key]) for key in first)


def test_speaker_norm_takes_a_planted_speaker_offset_away() -> None:
    shifted, speaker = shifted_speakers(planted_cache(sizes={"train": 1000, "dev": 400}, speakers=4))
    corpus = plan(corpus_of(shifted, speaker_norm=True)).corpus
    present, after = shifted.streams["video"].present, corpus.features.streams["video"].utterance
    for split in ("train", "dev"):
        for code in range(4):
            rows = after[(speaker == code) & present & (corpus.splits == split)]
            assert np.abs(rows.mean(axis=0)).max() < 0.05  # it was 30 to 90, of rows with a spread below 1
    assert (after[~present] == 0).all()


def test_rule_1_takes_a_planted_speaker_offset_away_too() -> None:
    shifted, speaker = shifted_speakers(planted_cache(sizes={"train": 2000}, speakers=4))
    after = corpus_of(shifted).normalised_by_rule_1().features.streams["video"]
    for code in range(4):
        rows = after.utterance[(speaker == code) & shifted.streams["video"].present]
        # 475 utterances a speaker against a prior of 5: about a hundredth of the spread between speakers is left
        assert np.abs(rows.mean(axis=0)).max() < 0.15


@pytest.mark.parametrize("split", ["dev", "test"])
def test_no_row_or_label_outside_of_train_moves_the_prior(split: str) -> None:
    """Rows and labels of the split are others: its own normalised rows follow, and nothing else moves."""
    cache = planted_cache()
    held = np.array(cache.utterances.split) == split
    rng = np.random.default_rng(0)
    loud = cache.streams["video"].utterance.copy()
    loud[held] = rng.normal(size=loud[held].shape) * 100 + 40
    emotion = np.where(held, (cache.utterances.emotion + 1) % 3, cache.utterances.emotion).astype(np.int16)
    other = with_rows(with_video(cache, loud), emotion=emotion)
    before, after = (plan(corpus_of(each, speaker_norm=True)).corpus for each in (cache, other))
    assert same_prior(before.prior, after.prior)
    one, two = (each.features.streams["video"].utterance for each in (before, after))
    np.testing.assert_array_equal(one[~held], two[~held])
    assert np.abs(one[held] - two[held]).max() > 1


def test_a_folds_prior_is_of_those_that_it_leaves_to_fit_on() -> None:
    """What a fold holds out, and stops by, may be anything: its prior and the rows that it is fitted on stay."""
    cache = planted_cache(sizes={"train": 240, "dev": 60, "test": 60})
    whole = plan(corpus_of(cache, speaker_norm=True), "speaker:3")
    for k, part in enumerate(whole.parts):
        outside = np.union1d(part.held_out, part.stop)
        loud = cache.streams["video"].utterance.copy()
        loud[outside] = loud[outside] * 7 + 50
        other = plan(corpus_of(with_video(cache, loud), speaker_norm=True), "speaker:3")
        assert same_prior(whole.priors[k], other.priors[k])
        assert not same_prior(whole.corpus.prior, other.corpus.prior)  # that of the models for new utterances
        one, two = (each.corpus_for(each.parts[k]).features for each in (whole, other))
        np.testing.assert_array_equal(
            one.streams["video"].utterance[part.fit], two.streams["video"].utterance[part.fit]
        )
        expected = whole.priors[k].normalise(whole.corpus.extracted.take(part.held_out)).streams["audio"].utterance
        np.testing.assert_array_equal(one.streams["audio"].utterance[part.held_out], expected)


def test_speaker_norm_reaches_the_windows_too() -> None:
    cache = planted_cache()
    plain, after = (
        plan(corpus_of(cache, speaker_norm=on)).corpus.features.streams["audio"] for on in (False, True)
    )
    assert after.windows.shape == plain.windows.shape
    assert np.abs(after.windows - plain.windows).max() > 0.1
    assert (after.windows[~after.window_present] == 0).all()


def test_speaker_norm_without_a_speaker_fails() -> None:
    cache = planted_cache()
    nobody = dataclasses.replace(cache.utterances, speaker=[""] * len(cache.utterances.id))
    with pytest.raises(UsageError, match="--speaker-norm: no utterance has a speaker"):
        corpus_of(dataclasses.replace(cache, utterances=nobody), speaker_norm=True)


def test_unknown_speakers_take_trains_statistics() -> None:
    sizes = {"train": 200, "dev": 100}
    cache = with_rows(planted_cache(sizes=sizes), speaker=["anna", "bert"] * 100 + [""] * 50 + ["carl"] * 50)
    corpus = plan(corpus_of(cache, speaker_norm=True)).corpus
    stream = corpus.features.streams["audio"]
    rows, train = cache.streams["audio"].utterance.astype(np.float64), stream.present & (corpus.splits == "train")
    expected = (rows - rows[train].mean(axis=0)) / rows[train].std(axis=0)
    place = np.arange(300)
    unknown, known = (stream.present & part for part in ((place >= 200) & (place < 250), place >= 250))
    np.testing.assert_allclose(stream.utterance[unknown], expected[unknown], atol=1e-4)
    assert np.abs(stream.utterance[known] - expected[known]).max() > 0.01


def test_what_was_extracted_is_kept_beside_it() -> None:
    cache = planted_cache()
    back = plan(corpus_of(cache, speaker_norm=True)).corpus.as_extracted()
    assert not back.speaker_norm and back.prior is None
    for name, stream in corpus_of(cache).features.streams.items():
        np.testing.assert_array_equal(back.features.streams[name].utterance, stream.utterance)


def test_the_digest_is_of_the_bytes_that_were_read(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another cache is put in place while this one is decoded."""
    path, other = tmp_path / "cache.h5", tmp_path / "other.h5"
    digest = write_cache(path, planted_cache())
    another = write_cache(other, planted_cache(seed=1))
    real = cache_file.unpack

    def unpacked(*how: object) -> object:
        if other.exists():
            os.replace(other, path)
        return real(*how)  # type: ignore[arg-type]

    monkeypatch.setattr(cache_file, "unpack", unpacked)
    first, second = read_corpus(path), read_corpus(path)
    assert (first.digest, second.digest) == (digest, another)
    np.testing.assert_array_equal(first.features.emotion, corpus_of(planted_cache()).features.emotion)


def in_sessions(sessions: int = 5) -> Cache:
    """Two speakers a session who share all its dialogues, as in IEMOCAP; everything outside test."""
    cache = planted_cache(sizes={"train": 240, "dev": 60})
    dialogue = np.arange(300) // 5
    speaker = [f"ses{number % sessions}{'FM'[i % 2]}" for i, number in enumerate(dialogue)]
    return with_rows(cache, speaker=speaker, dialogue=[f"dia{number}" for number in dialogue])


@pytest.mark.parametrize(("by", "count"), [("speaker", 5), ("speaker:5", 5), ("5", 5), ("speaker:2", 2)])
def test_folds_by_speaker_hold_out_whole_sessions(by: str, count: int) -> None:
    corpus = corpus_of(in_sessions())
    parts = folds(corpus, by)
    assert len(parts) == count
    session = np.array([name[:4] for name in corpus.speakers])
    for part in parts:
        for values in (session, corpus.speakers, corpus.dialogues):
            three = [set(values[index]) for index in (part.fit, part.stop, part.held_out)]
            assert not (three[0] & three[1] or three[0] & three[2] or three[1] & three[2])


def test_nothing_finer_than_the_folds_groups_is_resampled() -> None:
    corpus = corpus_of(in_sessions())
    everything = np.arange(300)
    what, codes = corpus.clusters(everything, "speaker:5")
    assert (what, len(np.unique(codes))) == ("speaker group", 5)
    assert len(set(zip(codes, [name[:4] for name in corpus.speakers], strict=True))) == 5
    assert corpus.clusters(everything, "speaker-only:5")[0] == "speaker"
    assert len(np.unique(corpus.clusters(everything, "speaker-only:5")[1])) == 10
    # a name in train and in dev is one dialogue to folds by dialogue, so it is one to the bootstrap
    twice = with_rows(in_sessions(), dialogue=[f"dia{i % 60 // 5}" for i in range(300)])
    assert len(np.unique(corpus_of(twice).clusters(everything, "dialogue:3")[1])) == 12


def test_folds_by_speaker_only_cut_dialogues() -> None:
    corpus = corpus_of(in_sessions())
    parts = folds(corpus, "speaker-only:5")
    rows, shared = shared_between(corpus, parts, "dialogue")
    assert rows > 0 and shared > 0
    for part in parts:
        assert not set(corpus.speakers[part.fit]) & set(corpus.speakers[part.held_out])
    assert shared_between(corpus, folds(corpus, "speaker:5"), "dialogue") == (0, 0)
    assert shared_between(corpus, folds(corpus, "dialogue:5"), "speaker") == (300, 10)


def test_speakers_who_all_talk_to_each_other_fail_and_numbers_take_dialogues() -> None:
    """Six friends, as in MELD: whole speakers with whole dialogues are the whole corpus."""
    friends = with_rows(planted_cache(), speaker=[f"friend{i % 6}" for i in range(400)])
    corpus = corpus_of(friends)
    with pytest.raises(UsageError, match=r"6 speakers are connected .* 320 of 320 .*dialogue:5.*speaker-only:5"):
        folds(corpus, "speaker:5")
    assert named_folds(corpus, "5") == "dialogue:5"
    assert len(folds(corpus, "speaker-only:3")) == 3


def test_one_guest_apart_does_not_make_two_groups() -> None:
    speaker = ["guest" if i < 5 else f"friend{i % 6}" for i in range(400)]
    corpus = corpus_of(with_rows(planted_cache(), speaker=speaker))
    with pytest.raises(UsageError, match="315 of 320 utterances are one group"):
        folds(corpus, "speaker:2")


def test_more_folds_than_connected_groups_fail() -> None:
    with pytest.raises(UsageError, match=r"6 folds of 5 groups \(speaker group, speakers who share dialogues"):
        folds(corpus_of(in_sessions()), "speaker:6")
