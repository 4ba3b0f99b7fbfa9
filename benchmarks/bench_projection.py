"""Measure the PCA at MELD's size: rows a second into the fit, the eigenvectors, rows a second through it.

    python benchmarks/bench_projection.py [--rows 12000] [--raw-width 4096] [--width 100]

The public yardstick is scikit-learn's PCA with its covariance solver on the same rows, in float64, on one thread.
"""

from __future__ import annotations

import argparse
import json
import time

import checkout  # noqa: F401
import numpy as np
from dualstream.features.projection import PcaFit
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

SHARD_ROWS = 200  # about 32 utterances


def main() -> None:
    """Measure a fit, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=12000)
    parser.add_argument("--raw-width", type=int, default=4096)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    spread = np.geomspace(1, 0.05, options.raw_width, dtype=np.float32)
    rows = rng.standard_normal((options.rows, options.raw_width), dtype=np.float32) * spread
    with threadpool_limits(1):
        began = time.perf_counter()
        fit = PcaFit(options.raw_width, options.width)
        for first in range(0, len(rows), SHARD_ROWS):
            fit.partial_fit(rows[first : first + SHARD_ROWS])
        summed = time.perf_counter()
        projection = fit.fit()
        fitted = time.perf_counter()
        projection.transform(rows)
        done = time.perf_counter()
        theirs = PCA(options.width, svd_solver="covariance_eigh").fit(rows.astype(np.float64))
        theirs_done = time.perf_counter()
    found = {
        "rows": options.rows,
        "raw_width": options.raw_width,
        "width": options.width,
        "threads": 1,
        "partial_fit_rows_per_s": options.rows / (summed - began),
        "eigenvectors_s": fitted - summed,
        "transform_rows_per_s": options.rows / (done - fitted),
        "fit_time_of_scikit_learn_over_ours": (theirs_done - done) / (fitted - began),
        "largest_difference_of_a_component": float(np.abs(projection.components - theirs.components_).max()),
    }
    print(json.dumps(found, indent=2) if options.json else "\n".join(f"{k:38} {v:.6g}" for k, v in found.items()))


if __name__ == "__main__":
    main()
