"""What trained weights say of themselves, and what the command prints of it."""

from __future__ import annotations

from dualstream.pipeline.cache.model import FailedClip
from dualstream.pipeline.encoder_training.document import EncoderDocument, TrainingPlan, TrainReport

OLD = {
    "data": {"samples": 3},
    "encoder": "cnn5",
    "recipe": {"training": {"seed": 4, "patience": 0}},
    "vocabulary": {"emotion": ["joy"], "sentiment": []},
    "history": [{"epoch": 1, "train_loss": 0.5, "learning_rate": 0.1, "thawed": ["all"], "dev_score": None}],
    "best_epoch": 1,
    "stopped": "epochs",
    "licence": "CC0",
}


def test_a_document_of_an_older_version_is_read() -> None:
    found = EncoderDocument.from_json(OLD)
    assert found.seed == 4 and not found.watches_dev
    assert found.history[0].thawed == ("all",) and found.history[0].dev_loss is None
    assert found.scores == {} and found.environment == {}


def test_a_report_has_the_keys_of_the_document_beside_its_own() -> None:
    document = EncoderDocument.from_json(OLD)
    printed = TrainReport("w", document=document, failed=[FailedClip("a", "gone")], seconds=1.23456).stamped()
    assert list(printed)[:4] == ["format", "version", "weights", "trained"]
    assert printed["encoder"] == "cnn5" and printed["failed"] == [{"id": "a", "reason": "gone"}]
    assert printed["seconds"] == 1.235 and not {"document", "plan"} & printed.keys()


def test_a_dry_run_has_a_plan_and_no_document() -> None:
    plan = TrainingPlan("cnn5", utterances=5, to_decode=2, parameters=100, trained_parameters=10)
    printed = TrainReport("w", trained=False, plan=plan).to_json()
    assert printed["plan"]["to_decode"] == 2 and "encoder" not in printed
