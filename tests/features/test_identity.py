"""Faces tied to speakers: aligned for an embedder, grouped, tied by who is seen with whom, and chosen by it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.faces.choice import TrackScores, listen
from dualstream.features.faces.embedding import AlignSpec, aligned, build_embedder, unit_rows
from dualstream.features.faces.identity import IdentityEvidence, fit_identity, make_identity, nearest
from dualstream.features.faces.people import People, Rivals
from dualstream.features.faces.rows import ALONE, BY_IDENTITY, UNDECIDED, FaceRows
from dualstream.features.faces.tracks import Track
from dualstream.features.faces.watching import MOST_LOOKS, Seen
from dualstream.features.options import IdentityOptions
from numpy.typing import NDArray

from tests.features.planted_faces import HEIGHT, WIDTH, picture

SAME = 0.8


def face(person: int, rng: np.random.Generator, width: int = 16) -> NDArray[np.float32]:
    """Return a look of a person: that person's axis with some noise."""
    row = np.zeros(width)
    row[person] = 1
    return unit_rows((row + 0.08 * rng.standard_normal(width))[None].astype(np.float32))[0]


def utterance(persons: list[int], rng: np.random.Generator) -> People:
    """Return the people of a clip of one window that nobody was chosen for."""
    count = len(persons)
    rivals = Rivals(
        np.zeros(count, np.int32),
        np.arange(count, dtype=np.int32),
        np.full((count, 4), 0.5, np.float32),
        np.full(count, 0.5),
        np.array(persons, np.float32)[:, None],
    )
    return People(np.arange(count, dtype=np.int32), np.stack([face(one, rng) for one in persons]), rivals)


def undecided(count: int = 1) -> FaceRows:
    """Return rows of windows that nobody was chosen for."""
    rows = FaceRows.nothing(count)
    return FaceRows(rows.box, rows.track, rows.score, rows.margin, rows.in_view, rows.state + UNDECIDED)


def evidence(
    rng: np.random.Generator, count: int = 80, speakers: int = 4, *, names: Any = None
) -> list[IdentityEvidence]:
    """Return utterances of speakers beside another person each, whom nobody was chosen between."""
    found = []
    for number in range(count):
        speaker = number % speakers
        other = int(rng.choice([one for one in range(speakers + 2) if one != speaker]))
        name = f"s{speaker}" if names is None else names[number]
        found.append(IdentityEvidence.of(name, utterance([speaker, other], rng), undecided()))
    return found


def test_planted_people_are_recovered() -> None:
    rng = np.random.default_rng(3)
    identity = fit_identity(evidence(rng), SAME)
    assert len(identity.owners) == 6  # four speakers, and two who never are
    of = nearest(np.eye(16, dtype=np.float32)[:6], identity.centres, SAME)
    assert [identity.owners[one] for one in of] == ["s0", "s1", "s2", "s3", "", ""]
    for speaker in range(4):
        people = utterance([5, speaker], rng)
        rows, shown = identity.choose(people, undecided(), f"s{speaker}")
        assert (rows.state.tolist(), rows.track.tolist(), shown.tolist()) == ([BY_IDENTITY], [1], [1])
        np.testing.assert_array_equal(rows.box, people.rivals.box[1:])


def test_names_that_say_nothing_tie_nobody() -> None:
    tied = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        names = [f"s{one}" for one in rng.integers(4, size=80)]
        tied += sum(map(bool, fit_identity(evidence(rng, names=names), SAME).owners))
    assert tied <= 3  # of 120 groups; 1 in 100 at most, where each test is exact, is 1.2


def test_two_who_are_always_together_are_not_told_apart() -> None:
    rng = np.random.default_rng(0)
    found = [IdentityEvidence.of(f"s{number % 2}", utterance([0, 1], rng), undecided()) for number in range(40)]
    assert fit_identity(found, SAME).owners == ("", "")


def test_what_the_sound_chose_counts_more_than_who_is_in_view() -> None:
    """Two who are always together are told apart where the sound decides in some of the utterances."""
    rng = np.random.default_rng(0)
    rows = FaceRows.nothing(1)
    found = []
    for number in range(40):
        chosen = FaceRows(
            rows.box, rows.track + 1 + number % 2, rows.score, rows.margin, rows.in_view, rows.state + ALONE
        )
        found.append(IdentityEvidence.of(f"s{number % 2}", utterance([0, 1], rng), chosen))
    assert sorted(fit_identity(found, SAME).owners) == ["s0", "s1"]


def test_nothing_is_chosen_where_names_do_not_say() -> None:
    rng = np.random.default_rng(3)
    identity = fit_identity(evidence(rng), SAME)
    for persons, speaker in (([4, 5], "s1"), ([0, 2], "s1"), ([1, 2], ""), ([1, 2], "new"), ([1, 1], "s1")):
        rows, shown = identity.choose(utterance(persons, rng), undecided(), speaker)
        assert not len(shown) and rows.state.tolist() == [UNDECIDED], (persons, speaker)
    decided = FaceRows.nothing(1)
    decided = FaceRows(
        decided.box, decided.track + 1, decided.score, decided.margin, decided.in_view, decided.state + ALONE
    )
    rows, shown = identity.choose(utterance([1, 2], rng), decided, "s1")
    assert not len(shown) and rows.state.tolist() == [ALONE]  # what the sound decided stays


@pytest.mark.parametrize("count", [0, 1])
def test_few_faces_tie_nobody(count: int) -> None:
    rng = np.random.default_rng(0)
    identity = fit_identity([IdentityEvidence.of("s0", utterance([0], rng), undecided())] * count, SAME)
    assert not any(identity.owners)
    assert not len(identity.choose(utterance([0, 1], rng), undecided(), "s0")[1])


def drawn(eyes: complex, mouth: complex) -> NDArray[np.uint8]:
    """Return a picture with a red dot at the eyes and a blue one at the mouth."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rgb = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    rgb[np.abs(x + 1j * y + 0.5 + 0.5j - eyes) < 4] = 230, 30, 30
    rgb[np.abs(x + 1j * y + 0.5 + 0.5j - mouth) < 4] = 30, 30, 230
    return rgb


@pytest.mark.parametrize("degrees", [0, 25, -40])
def test_eyes_and_mouth_come_to_lie_where_the_embedder_wants_them(degrees: float) -> None:
    turn = np.exp(1j * np.deg2rad(degrees))
    eyes, mouth = 90 + 45j - 10j * turn, 90 + 45j + 14j * turn
    spec = AlignSpec(112, (0.5, 0.4), (0.5, 0.8))
    rgb = aligned(picture(drawn(eyes, mouth), 0.0), (eyes.real, eyes.imag), (mouth.real, mouth.imag), 50.0, spec)
    assert rgb.shape == (112, 112, 3)
    plain = rgb.astype(int)
    for own, other, at in ((0, 2, spec.eyes), (2, 0, spec.mouth)):
        rows, columns = np.nonzero(plain[:, :, own] - plain[:, :, other] > 60)
        assert abs(columns.mean() + 0.5 - at[0] * 112) < 2 and abs(rows.mean() + 0.5 - at[1] * 112) < 2


def test_a_face_whose_eyes_and_mouth_fall_together_is_taken_as_upright() -> None:
    rgb = aligned(
        picture(drawn(90 + 40j, 90 + 60j), 0.0), (90, 50), (90, 50.5), 50.0, AlignSpec(112, (0.5, 0.4), (0.5, 0.8))
    )
    red, blue = (np.nonzero(rgb[:, :, own].astype(int) - rgb[:, :, 2 - own] > 60)[0].mean() for own in (0, 2))
    assert abs(red - 0.4 * 112) < 2 and abs(blue - 0.8 * 112) < 2


def test_looks_are_few_and_spread_over_the_track() -> None:
    for count in (1, 6, 7, 50):
        seen = Seen(Track(0, 0))
        for number in range(count):
            seen.look(lambda number=number: np.full((1, 1, 3), number, np.uint8))  # type: ignore[misc]
        at = [int(one[0, 0, 0]) for one in seen.looks]
        assert len(at) <= MOST_LOOKS and at[0] == 0
        assert len(set(np.diff(at))) <= 1 and (count <= MOST_LOOKS or len(at) >= MOST_LOOKS // 2)


def test_scores_are_kept_for_the_ticks_of_a_track_only() -> None:
    """A recording of many short tracks: memory for scores grows with what is seen."""

    class One:
        def score(self, crops: NDArray[np.uint8], audio: NDArray[np.float32]) -> NDArray[np.float64]:
            return np.arange(len(crops), dtype=float)

    seen = []
    for number in range(50):
        one = Seen(Track(number, number), first_tick=number * 20, grey=[np.zeros((4, 4), np.uint8)] * 20)
        seen.append(one)
    audio = np.ones(50 * 20 * 640, np.float32)
    voices = listen(seen, One(), audio)  # type: ignore[arg-type]
    assert sum(len(scores) for scores in voices.scores.values()) == 50 * 20
    assert voices.mean(seen[3], 0, 1000) == 9.5 and voices.mean(seen[3], 65, 70) == 7.0
    assert np.isnan(voices.mean(seen[3], 0, 60)) and np.isnan(TrackScores({}, voices.voice).mean(seen[3], 0, 99))


def network(path: Path, *, first: bool = True, own_scale: bool = False, rows: int = 6, side: Any = 112) -> Path:
    """Write a small network of ONNX that gives the mean of each colour and of each colour's upper half."""
    onnx = pytest.importorskip("onnx")
    helper, numbers = onnx.helper, onnx.TensorProto
    shape = ["n", 3, side, side] if first else ["n", side, side, 3]
    nodes, name = [], "data"
    constants = [helper.make_tensor("half", numbers.FLOAT, [1], [127.5])]
    if own_scale:
        constants.append(helper.make_tensor("scale", numbers.FLOAT, [1], [1 / 127.5]))
        nodes += [
            helper.make_node("Sub", [name, "half"], ["less"]),
            helper.make_node("Mul", ["less", "scale"], ["own"]),
        ]
        name = "own"
    if not first:
        nodes.append(helper.make_node("Transpose", [name], ["turned"], perm=[0, 3, 1, 2]))
        name = "turned"
    nodes.append(helper.make_node("AveragePool", [name], ["pooled"], kernel_shape=[56, 112], strides=[56, 112]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["row"]))
    graph = helper.make_graph(
        nodes,
        "faces",
        [helper.make_tensor_value_info("data", numbers.FLOAT, shape)],
        [helper.make_tensor_value_info("row", numbers.FLOAT, ["n", rows])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("own_scale", [True, False])
def test_an_onnx_file_says_how_it_takes_faces(tmp_path: Path, first: bool, own_scale: bool) -> None:
    pytest.importorskip("onnxruntime")
    embedder = build_embedder("onnx", network(tmp_path / "n.onnx", first=first, own_scale=own_scale))
    faces = np.zeros((2, 112, 112, 3), np.uint8)
    faces[0, :56, :, 0] = 255  # the upper half is red
    faces[1] = 51
    rows = embedder.embed(faces)
    np.testing.assert_allclose(rows[0], [1, -1, -1, -1, -1, -1], atol=1e-5)
    np.testing.assert_allclose(rows[1], 51 / 127.5 - 1, atol=1e-3)
    stated = embedder.to_json()
    assert stated["channels"] == ("first" if first else "last")
    assert stated["scale"] == ("0 to 255" if own_scale else "-1 to 1")
    assert len(stated["weights"]["sha256"]) == 64


def test_networks_that_tell_nobody_apart_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="can't be read as an ONNX file"):
        build_embedder("onnx", tmp_path / "x.onnx")
    with pytest.raises(ValueError, match=r"expected a network that turns one picture"):
        build_embedder("onnx", network(tmp_path / "large.onnx", side=1024))
    (tmp_path / "face_recognition_model-weights_manifest.json").write_text('[{"paths": ["x.bin"], "weights": []}]')
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="is not face-api's network"):
        build_embedder("face-api", tmp_path / "face_recognition_model-weights_manifest.json")


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    assert make_identity(IdentityOptions()) is None
    for options, words in (
        (IdentityOptions(identity=True), "--identity-weights FILE"),
        (IdentityOptions(identity=True, identity_embedder="eigenface"), "no face embedder is called"),
    ):
        with pytest.raises(ValueError, match=words):
            make_identity(options)


FACE_API = Path(os.environ.get("DUALSTREAM_WEIGHTS", "")) / "face" / "face_recognition_model.bin"
DATA = Path(os.environ.get("DUALSTREAM_DATA", ""))


@pytest.mark.slow
@pytest.mark.skipif(
    not (FACE_API.is_file() and (DATA / "mosi").is_dir()),
    reason="DUALSTREAM_WEIGHTS has no face/face_recognition_model.bin, or DUALSTREAM_DATA is not set",
)
def test_the_published_network_tells_people_apart() -> None:
    from dualstream.features.faces.detection import build_detector
    from dualstream.features.faces.identity import IdentityMethod
    from dualstream.features.faces.region import FaceMethod, FaceReading
    from dualstream.features.faces.scoring import build_scorer
    from dualstream.features.media import DecodeSettings, read_clip
    from dualstream.features.windows import Sampling, WindowPlan

    pytest.importorskip("ai_edge_litert")
    identity = IdentityMethod.of(build_embedder("face-api", FACE_API))
    detector = build_detector("blazeface", FACE_API.with_name("face_detection_full_range_sparse.tflite"))
    method = FaceMethod(detector, build_scorer("sync", None), identity=identity)
    reading = FaceReading(method, WindowPlan(), Sampling(), 48)
    looks = []
    for name in ("1DmNV9C1hbY_6", "1DmNV9C1hbY_8", "2iD-tVS8NPw_8", "2iD-tVS8NPw_9"):
        clip = read_clip(
            DATA / "mosi" / "clips" / f"{name}.mp4",
            plan=WindowPlan(),
            sampling=Sampling(),
            settings=DecodeSettings(frame_size_px=48),
            watch=reading.watch,
        )
        people = reading.crops(clip, {"speaker"})["speaker"].people
        assert people is not None
        looks.append(people.looks[0])
    cosines = np.stack(looks) @ np.stack(looks).T
    assert min(cosines[0, 1], cosines[2, 3]) > identity.embedder.same_person > cosines[:2, 2:].max()  # type: ignore[union-attr]
