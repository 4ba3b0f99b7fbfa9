"""A fitted head as one torch module: unscaled features in, calibrated probabilities out; for other runtimes.

The mean of the seeds' probabilities, scaling and masks included, so that whoever runs it needs nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.data.speaker_prior import SpeakerPrior
from dualstream.heads.training.tensors import subsample
from dualstream.heads.variants.contract import TASKS, Task, Trained, module_of
from dualstream.heads.variants.joint_graph import PAIRS, JointModule
from torch import Tensor, nn
from torch.nn import functional


class HeadGraph(nn.Module):
    """Several seeds' models of one variant as one module.

    Parameters
    ----------
    models
        One per seed.
    sharpness
        Inverse temperature of each task, by which the mean's log-probabilities are multiplied.
    prior
        Of heads that read speaker-normalised rows: every utterance is normalised by the prior alone, as one of an
        unknown speaker is. None: rows are read as they are.

    Notes
    -----
    `input_names` are, for each stream that is read: ``video``, its rows, (B, D), or (B, T, D) for a variant
    that reads windows; then ``video_mask`` (B, T), bool, True where a window means something; and
    ``video_present`` (B,), bool. A variant over dialogues also takes ``dialogue`` (B,), int64: utterances of
    one dialogue stand side by side in turn order. `output_names` are the tasks, probabilities (B, C), and, where
    both are answered as one, ``pairs`` (B, E, S): of the pairs that may be answered, before calibration, 0 for the
    others. `lead` is the task whose likeliest class is answered; the other's is the likeliest pair's with it.

    Raises
    ------
    ValueError
        Where a model is of a kind that has no graph.
    """

    def __init__(
        self, models: Sequence[Trained], sharpness: Mapping[Task, float], prior: SpeakerPrior | None = None
    ) -> None:
        super().__init__()
        self.members = [module_of(model) for model in models]
        self.sharpness = dict(sharpness)
        first = self.members[0]
        self.widths, self.windowed = first.widths, first.windowed
        self.input_names = []
        for stream in first.widths:
            self.input_names += [stream, *([f"{stream}_mask"] if self.windowed else []), f"{stream}_present"]
        if first.over_dialogues:
            self.input_names.append("dialogue")
        self.over_dialogues = first.over_dialogues
        self.tasks: list[Task] = [task for task in TASKS if task in first.tasks]
        joint = {member.joint.lead for member in self.members if isinstance(member, JointModule)}
        if len(joint) > 1:
            raise ValueError("the models' joint answers are led by different tasks; they are of different fits")
        self.lead: Task | None = next(iter(joint), None)
        self.output_names: list[str] = [*self.tasks, *([PAIRS] if joint else [])]
        self.prior = {} if prior is None else _affine(prior, first.widths, windowed=self.windowed)

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Return the probabilities of each task, and of pairs, in the order of `output_names`."""
        inputs = dict(zip(self.input_names, values, strict=True))
        for stream, (centre, inverse) in self.prior.items():
            there = inputs[f"{stream}_mask" if self.windowed else f"{stream}_present"][..., None]
            inputs[stream] = torch.where(there, (inputs[stream].double() - centre) * inverse, 0.0).float()
        said: list[dict[str, Tensor]] = [
            {str(key): rows for key, rows in member(inputs).items()} for member in self.members
        ]
        answers = []
        for task in self.tasks:
            stacked = torch.stack([one[task] for one in said])  # (seeds, B, C)
            answers.append(functional.softmax(self.sharpness[task] * stacked.logsumexp(0), dim=-1))
        if self.lead is not None:
            answers.append(torch.stack([one[PAIRS] for one in said]).exp().mean(0))
        return tuple(answers)

    def feed(self, features: FeatureSet) -> tuple[Tensor, ...]:
        """Return the inputs for utterances that stand in the order of their dialogues."""
        found: dict[str, Tensor] = {"dialogue": torch.from_numpy(features.dialogue)}
        rows, counts = subsample(features.offsets, self.members[0].max_windows)
        length = int(counts.max()) if len(counts) else 0
        inside = np.arange(length) < counts[:, None]  # (B, T)
        for stream, width in self.widths.items():
            arrays = features.streams.get(stream)
            count = len(features)
            present = np.zeros(count, np.bool_) if arrays is None else arrays.present
            found[f"{stream}_present"] = torch.from_numpy(present.copy())
            if not self.windowed:
                whole = np.zeros((count, width), np.float32) if arrays is None else arrays.utterance
                found[stream] = torch.from_numpy(whole.copy())
                continue
            windows = np.zeros((count, length, width), np.float32)
            mask = np.zeros((count, length), np.bool_)
            if arrays is not None and arrays.windows is not None and arrays.window_present is not None:
                windows[inside] = arrays.windows[rows]
                mask[inside] = arrays.window_present[rows]
                mask &= present[:, None]
            found[stream], found[f"{stream}_mask"] = torch.from_numpy(windows), torch.from_numpy(mask)
        return tuple(found[name] for name in self.input_names)


def _affine(prior: SpeakerPrior, widths: Mapping[str, int], *, windowed: bool) -> dict[str, tuple[Tensor, Tensor]]:
    """Return what is taken from each stream's rows and what they are multiplied by; 0 of constant columns."""
    found = {}
    for stream in widths:
        moments = (prior.windows if windowed else prior.utterance)[stream]
        spread = moments.spread()
        inverse = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
        found[stream] = torch.from_numpy(moments.mean), torch.from_numpy(inverse)
    return found
