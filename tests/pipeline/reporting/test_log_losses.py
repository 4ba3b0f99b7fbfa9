"""Tables show two log losses: of the probabilities as they are, and calibrated, which compares."""

import io
import json

import numpy as np
import pytest
from dualstream.heads.evaluation import metrics
from dualstream.pipeline.experiments.scores import SplitScores, TaskScores
from dualstream.pipeline.reporting.figures import METRIC_WORDS
from dualstream.pipeline.reporting.tables import METRICS, Row, console, print_scores


def scores(sharpness: float, *, codes: bool = False) -> SplitScores:
    """Return scores of one model whose logits are the truth's, times a sharpness."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(600, 3))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    rows = sharpness * logits
    rows -= np.log(np.exp(rows).sum(1, keepdims=True))
    found = metrics.score(
        rows.argmax(1) if codes else rows, truth, ("a", "b", "c"), groups=np.arange(600) // 6, resamples=50
    )
    return SplitScores("dev", 600, "dialogue", ("seed 0",), {"emotion": TaskScores.of(found, None)})


def drawn(*rows: Row, width: int = 200) -> str:
    out = io.StringIO()
    screen = console(out)
    screen.width = width
    print_scores(screen, "emotion", rows)
    return out.getvalue()


def test_a_table_shows_both_and_says_which_compares() -> None:
    plain, sharp = scores(1.0), scores(6.0)
    table = drawn(Row("plain", plain), Row("sharp", sharp))
    words = " ".join(table.split())
    assert "calibrated log loss compares: each model at the temperature that fits the other scored groups" in words
    cells = {name: line.split() for line in table.splitlines() for name in ("plain", "sharp") if name in line}
    own, other = cells["plain"], cells["sharp"]
    assert own[:5] == ["plain", *other[1:5]]  # accuracy and the like
    assert float(other[5]) > float(own[5]) + 0.5
    assert own[6] == other[6] == f"{plain.tasks['emotion'].calibrated_log_loss.mean:.2f}"


def test_a_narrow_terminal_keeps_the_one_that_compares() -> None:
    head, caption = drawn(Row("one", scores(2.0)), width=72).split("majority")
    assert "calibrated" in head and "calib." not in head.replace("calibrated", "")
    assert "on a wider terminal: log loss, calib. error" in " ".join(caption.split())


def test_older_documents_have_none() -> None:
    document = scores(1.0).to_json()
    del document["tasks"]["emotion"]["calibrated_log_loss"]
    old = SplitScores.from_json(json.loads(json.dumps(document)))
    assert old.tasks["emotion"].calibrated_log_loss is None
    assert old.tasks["emotion"].log_loss == scores(1.0).tasks["emotion"].log_loss
    table = drawn(Row("old", old))
    assert "–" in table and "calibrated log loss compares" not in " ".join(table.split())


@pytest.mark.parametrize("codes", [False, True])
def test_the_document_comes_back(codes: bool) -> None:
    found = scores(2.0, codes=codes)
    read = SplitScores.from_json(json.loads(json.dumps(found.to_json())))
    assert read.to_json() == found.to_json()
    assert (read.tasks["emotion"].calibrated_log_loss is None) is codes


def test_every_metric_has_words_for_figures() -> None:
    assert {key for key, _ in METRICS} == set(METRIC_WORDS)


def test_at_80_columns_no_word_and_no_number_is_cut() -> None:
    """A long name takes a second line, not a column of all rows; what found no place is named."""
    extra = {"emotion": {"UAR less linear_audio": "+22.3\n+16.9 to +29.2", "p (Holm)": "0.1875", "fit": "12.5 s"}}
    long = "auto: audio (4 of 5 folds), linear_audio (1 of 5 folds)"
    rows = [Row("short", scores(2.0), extra=extra), Row(long, scores(3.0), extra=extra)]
    table = drawn(*rows, width=80)
    assert max(map(len, table.splitlines())) <= 80 and "…" not in table
    for word in ("+22.3", "+16.9 to +29.2", "0.1875", "UAR", "weighted", "linear_audio", *long.split()):
        assert table.count(word) >= 1, word
    words = " ".join(table.split())
    assert "on a wider terminal: accuracy, macro F1, log loss, calibrated log loss, calib. error, fit" in words
    wide = drawn(*rows, width=200)
    assert "wider terminal" not in wide and wide.count("12.5 s") == 2


def test_at_no_width_is_a_number_cut() -> None:
    """What fits is counted with the frame: a table one column too wide lost the ends of its numbers."""
    extra = {"emotion": {"UAR less linear_audio": "+22.3\n+16.9 to +29.2", "p (Holm)": "0.1875", "fit": "12.5 s"}}
    rows = [Row("short", scores(2.0), extra=extra), Row("other", scores(3.0), extra=extra)]
    assert [width for width in range(60, 170) if "…" in drawn(*rows, width=width)] == []
