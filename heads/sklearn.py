"""DualHeadClassifier: any fusion variant as a scikit-learn classifier over plain arrays.

    X  [ video columns | audio columns ]   (N, D),   or   {"whisper": (N, D), "acoustic": (N, D), ...}
    y  emotion (N,)   or   emotion and sentiment (N, 2)

This is for those who live in scikit-learn: `cross_validate`, `GridSearchCV`, pipelines. Its rows are whole
utterances, so variants that need windows or dialogues are not on offer here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from dualstream.heads.data import stream_columns
from dualstream.heads.data.batch import FeatureSet, StreamArrays, stream_order
from dualstream.heads.data.stream_columns import Rows
from dualstream.heads.evaluation import metrics
from dualstream.heads.variants import joint_fit, registry
from dualstream.heads.variants.decode import decode, joint_decode
from dualstream.heads.variants.ensemble import ensemble
from dualstream.heads.variants.options import Decoding, Parameters
from dualstream.heads.variants.registry import TASKS, FitOptions, Prediction
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

MELD_WIDTHS = (100, 192)  # video and audio columns of this project's encoders
CHECKS: dict[str, Any] = {"ensure_all_finite": "allow-nan", "dtype": [np.float64, np.float32]}
"""Of arrays that come in. NaN is looked at here: it may stand for a whole missing stream, and nothing else."""


class DualHeadClassifier(ClassifierMixin, BaseEstimator):
    """Emotion, or emotion and sentiment, from the columns of two streams or of any number.

    Parameters
    ----------
    fusion
        Name of a variant, such as ``linear``, ``linear_late`` or ``concat_norm``.
    video_width
        The first so many columns are video, the others audio. None: 100 where there are 292 columns, else
        the first half, rounded up.
    video_columns
        Positions of the video columns, the others are audio; in the place of `video_width`.
    streams
        Any number of streams by name, in the place of both: how many columns each has, side by side in that order,
        ``{"whisper": 192, "acoustic": 192, "face": 100}``, or the positions of its columns. Every column is of one
        stream. X may also be such a mapping from names to arrays, which says so itself.
    penalty
        L2 penalty of the linear variants, ``1 / C`` of LogisticRegression on standardised columns. None:
        chosen by folds within the training rows.
    loss, epochs, batch_size, hidden, dropout, learning_rate, weight_decay
        As in `heads.variants.registry.FitOptions`, whose defaults None stands for; all but `loss` are for variants
        that are trained, not solved. No rows are held out for early stopping.
    decoding
        How two columns of y are answered: ``joint``, one answer, a pair that training showed
        (`heads.variants.joint`); ``separate``, each head for itself; ``pairs``, the sum of both heads'
        log-probabilities over the pairs that training showed.
    joint
        Deprecated: ``decoding="pairs"`` where it is true.
    models
        Models that are fitted, a seed each; their mean probabilities are the answer.
    random_state
        Seed of the first model, the others follow; or a RandomState or None, which the seed is drawn from.
    parameters
        Settings of the variant itself, such as ``{"solver": "lda"}``.

    Attributes
    ----------
    classes_
        Class labels, in the order of `predict_proba`; a list of two arrays where y had two columns.
    n_features_in_
        Columns seen in `fit`.
    models_
        The fitted models.
    """

    def __init__(
        self,
        fusion: str = "linear",
        *,
        video_width: int | None = None,
        video_columns: Sequence[int] | None = None,
        streams: Mapping[str, int | Sequence[int]] | None = None,
        penalty: float | None = None,
        loss: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        hidden: int | None = None,
        dropout: float | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        decoding: Decoding = "joint",
        joint: bool = False,
        models: int = 1,
        random_state: int | np.random.RandomState | None = 0,
        parameters: Parameters | None = None,
    ) -> None:
        self.fusion = fusion
        self.video_width = video_width
        self.video_columns = video_columns
        self.streams = streams
        self.penalty = penalty
        self.loss = loss
        self.epochs = epochs
        self.batch_size = batch_size
        self.hidden = hidden
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.decoding = decoding
        self.joint = joint
        self.models = models
        self.random_state = random_state
        self.parameters = parameters

    def fit(self, X: Rows, y: ArrayLike, groups: ArrayLike | None = None) -> DualHeadClassifier:
        """Fit on rows of features.

        Parameters
        ----------
        X
            Shape (N, D), finite, or such an array for each stream by its name. A row whose columns of one stream
            are all NaN lacks that stream.
        y
            Labels of any kind, shape (N,), or (N, 2): emotion and sentiment.
        groups
            Dialogue or speaker of each row, shape (N,), kept whole when a penalty is chosen. None: every
            row is a group of its own.

        Raises
        ------
        ValueError
            Where shapes don't fit, values are not finite, or the variant can't work on rows.
        """
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        streams, joined = stream_columns.given(X, self.streams)
        rows, labels = validate_data(self, joined, y, multi_output=True, **CHECKS)
        single = labels.ndim == 1 or labels.shape[1] == 1
        targets = [labels.reshape(len(labels))] if single else list(labels.T)
        if len(targets) > len(TASKS):
            raise ValueError(f"y has {len(targets)} columns; expected one, or two: emotion and sentiment")
        for target in targets:
            check_classification_targets(target)
        coded = [np.unique(target, return_inverse=True) for target in targets]
        codes = [code.astype(np.int64) for _, code in coded]
        self._single = single
        self._sizes = [len(classes) for classes, _ in coded]
        self._columns = self._columns_of(streams, rows.shape[1])
        self.classes_ = coded[0][0] if single else [classes for classes, _ in coded]
        features = self._features(rows, codes, groups)
        options = self._options(len(codes))
        self.models_ = list(joint_fit.fit(self.fusion, features, options=options))
        self._by_pairs = options.decoding == "pairs"
        self._seen = None if single else metrics.seen_pairs(codes[0], codes[1], self._sizes[0], self._sizes[1])
        return self

    def predict_proba(self, X: Rows) -> NDArray[np.float64] | list[NDArray[np.float64]]:
        """Return probabilities (N, C), or a list of two where y had two columns."""
        prediction = self._prediction(X)
        rows = [np.exp(log_p) for task in TASKS if (log_p := prediction.task(task)) is not None]
        return rows[0] if self._single else rows

    def predict(self, X: Rows) -> NDArray[Any]:
        """Return labels, shape (N,), or (N, 2) where y had two columns."""
        prediction = self._prediction(X)
        if self._single:
            assert prediction.emotion is not None
            return self.classes_[prediction.emotion.argmax(1)]
        assert prediction.emotion is not None and prediction.sentiment is not None
        codes = decode(prediction)
        if self._by_pairs and self._seen is not None:
            codes = joint_decode(prediction, self._seen)
        return np.stack([classes[code] for classes, code in zip(self.classes_, codes, strict=True)], axis=1)

    def score(self, X: Rows, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy; of two columns the mean of theirs."""
        if self._single:
            return float(super().score(X, y, sample_weight=sample_weight))
        right = self.predict(X) == np.asarray(y)
        return float(
            np.average(right.mean(1), weights=None if sample_weight is None else np.asarray(sample_weight))
        )

    def __sklearn_tags__(self) -> Any:
        """State what scikit-learn may expect."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _prediction(self, X: Rows) -> Prediction:
        check_is_fitted(self, "models_")
        rows = validate_data(self, stream_columns.like_fit(X, self._columns), reset=False, **CHECKS)
        unlabelled = np.full(len(rows), -1, np.int64)
        features = self._features(rows, [unlabelled] * len(self._sizes), None)
        return ensemble([model.predict(features) for model in self.models_])

    def _columns_of(self, streams: stream_columns.Columns | None, width: int) -> stream_columns.Columns:
        """Return which columns each stream has, as this estimator or X says."""
        if streams is None:
            mask = self._video_mask(width)
            pairs = (("video", np.flatnonzero(mask)), ("audio", np.flatnonzero(~mask)))
            streams = {name: columns for name, columns in pairs if len(columns)}
        elif self.video_width is not None or self.video_columns is not None:
            raise ValueError("give the streams by name, or video_width or video_columns, not both")
        stream_columns.require_all(streams, width)
        variant = registry.get(self.fusion)
        if variant.needs_dialogues:
            raise ValueError(f"{self.fusion} reads the turns of dialogues, which rows of features do not tell")
        for stream in variant.lacking(streams):
            raise ValueError(
                f"{self.fusion} reads {stream} columns; of n_features = {width} none are {stream}, "
                f"but {' and '.join(streams)}"
            )
        return {name: streams[name] for name in stream_order(streams)}

    def _video_mask(self, width: int) -> NDArray[np.bool_]:
        mask = np.zeros(width, dtype=bool)
        if self.video_columns is not None:
            if self.video_width is not None:
                raise ValueError("give video_width or video_columns, not both")
            positions = np.asarray(self.video_columns)
            if positions.ndim != 1 or not np.issubdtype(positions.dtype, np.integer):
                raise ValueError(f"video_columns is {self.video_columns!r}; expected positions of columns")
            if len(positions) and (positions.min() < 0 or positions.max() >= width):
                raise ValueError(f"video_columns go up to {positions.max()}; X has n_features = {width}")
            mask[positions] = True
        else:
            first = self.video_width
            if first is None:
                first = MELD_WIDTHS[0] if width == sum(MELD_WIDTHS) else (width + 1) // 2
            if not 0 <= first <= width:
                raise ValueError(f"video_width is {first}; X has n_features = {width}")
            mask[:first] = True
        return mask

    def _features(self, X: NDArray[Any], codes: list[NDArray[np.int64]], groups: ArrayLike | None) -> FeatureSet:
        count = len(X)
        streams = {}
        for name, columns in self._columns.items():
            rows = X[:, columns]
            missing = np.isnan(rows).all(1)
            if np.isnan(rows[~missing]).any():
                raise ValueError(f"Input X contains NaN in some {name} columns of a row; all or none may be NaN")
            rows = rows.astype(np.float32)
            if not np.isfinite(rows[~missing]).all():
                raise ValueError(f"Input X contains values in {name} columns that are too large for float32")
            rows[missing] = 0
            streams[name] = StreamArrays(rows, ~missing)
        of_group = np.arange(count) if groups is None else np.unique(column_or_1d(groups), return_inverse=True)[1]
        if len(of_group) != count:
            raise ValueError(f"groups has {len(of_group)} entries; X has {count} rows")
        names = [tuple(f"class {k}" for k in range(size)) for size in self._sizes]
        return FeatureSet(
            streams=streams,
            offsets=np.zeros(count + 1, np.int64),
            start_s=np.zeros(0),
            emotion=codes[0],
            sentiment=codes[1] if len(codes) > 1 else np.full(count, -1, np.int64),
            emotion_names=names[0],
            sentiment_names=names[1] if len(names) > 1 else (),
            dialogue=of_group.astype(np.int64),
            turn=np.zeros(count, np.int64),
            speaker=np.full(count, -1, np.int64),
        )

    def _options(self, tasks: int) -> FitOptions:
        if self.models < 1:
            raise ValueError(f"models is {self.models}; expected 1 or more")
        settings = {
            name: getattr(self, name)
            for name in ("loss", "epochs", "batch_size", "hidden", "dropout", "learning_rate", "weight_decay")
            if getattr(self, name) is not None
        }
        first = self.random_state
        if not isinstance(first, Integral):
            first = check_random_state(first).randint(2**31)
        return replace(
            FitOptions(**settings),
            tasks=TASKS[:tasks],
            decoding="pairs" if self.joint else self.decoding,
            seeds=tuple(range(first, first + self.models)),
            penalty=self.penalty,
            patience=0,
            parameters=dict(self.parameters or {}),
        )
