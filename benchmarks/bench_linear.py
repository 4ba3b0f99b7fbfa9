"""The linear dual head against scikit-learn's LogisticRegression on one task, at MELD's size and one penalty.

9,989 utterances of 292 standardised columns. Ours solves both tasks (7 + 3 classes), scikit-learn emotion
alone; both get the same float32 columns and 1 / C = penalty. The pairs alternate in one process; what is
shown is the median and the range of their ratios, at 1 thread and at 2. Columns are drawn once without
correlation, which is scikit-learn's best case, and once correlated as real features are. Losses are sums
over the utterances plus the penalty, in nats, above the optimum found in float64.

    python benchmarks/bench_linear.py [--pairs 9]
"""

from __future__ import annotations

import argparse
import time

import checkout  # noqa: F401

ROWS, COLUMNS = 9_989, 292
SHARES = (0.47, 0.17, 0.12, 0.10, 0.08, 0.03, 0.03)  # about MELD's
SENTIMENT_OF = (0, 1, 2, 2, 1, 2, 2)
PENALTIES = (1.0, 100.0)


def main() -> None:
    """Run both thread counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    import numpy  # noqa: F401  # the limit is set on the libraries that are there
    import sklearn.linear_model  # noqa: F401
    from threadpoolctl import threadpool_limits

    print(
        "| threads | columns | 1 / C | scikit-learn, emotion s | ours, both tasks s | ratio | (range) "
        "| loss above optimum: scikit-learn | ours |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for threads in (1, 2):
        with threadpool_limits(threads):
            measure(threads, options.pairs)


def measure(threads: int, pairs: int) -> None:
    """Print one line for each kind of columns and penalty."""
    import numpy as np
    from dualstream.heads.linear.logistic import Problem, solve
    from sklearn.linear_model import LogisticRegression

    for correlated in (False, True):
        rows, emotion = _corpus(correlated)
        sentiment = np.array(SENTIMENT_OF)[emotion]
        for penalty in PENALTIES:
            best = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5_000).fit(
                rows.astype(np.float64), emotion
            )
            optimum = _loss(rows, emotion, best.coef_, best.intercept_, penalty)
            times, gaps = [], []
            for _ in range(pairs):
                began = time.perf_counter()
                theirs = LogisticRegression(C=1 / penalty, max_iter=1_000).fit(rows, emotion)
                middle = time.perf_counter()
                ours, _ = solve(rows, [Problem(emotion, 7, penalty), Problem(sentiment, 3, penalty)])
                ended = time.perf_counter()
                times.append((middle - began, ended - middle))
                gaps.append(
                    [
                        _loss(rows, emotion, weights, intercepts, penalty) - optimum
                        for weights, intercepts in (
                            (theirs.coef_, theirs.intercept_),
                            (ours.weights, ours.intercepts),
                        )
                    ]
                )
            seconds = np.array(times)
            ratios = seconds[:, 1] / seconds[:, 0]
            their_s, our_s = np.median(seconds, 0)
            their_gap, our_gap = np.median(gaps, 0)
            print(
                f"| {threads} | {'correlated' if correlated else 'independent'} | {penalty:g} | {their_s:.3f} "
                f"| {our_s:.3f} | {np.median(ratios):.2f} | {ratios.min():.2f} to {ratios.max():.2f} "
                f"| {their_gap:.1e} | {our_gap:.1e} |",
                flush=True,
            )


def _corpus(correlated: bool):
    import numpy as np

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, COLUMNS))
    if correlated:
        rows = rows @ (rng.normal(size=(COLUMNS, COLUMNS)) * np.arange(1, COLUMNS + 1) ** -0.7).T
        rows += 0.1 * rng.normal(size=rows.shape)
    rows = (rows - rows.mean(0)) / rows.std(0)
    logits = rows @ rng.normal(size=(COLUMNS, 7)) * 0.06 + np.log(SHARES)
    emotion = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    return np.ascontiguousarray(rows, np.float32), emotion


def _loss(rows, labels, weights, intercepts, penalty):
    import numpy as np

    logits = rows.astype(np.float64) @ weights.T.astype(np.float64) + intercepts
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return -log_p[np.arange(len(labels)), labels].sum() + penalty / 2 * (weights.astype(np.float64) ** 2).sum()


if __name__ == "__main__":
    main()
