from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.random_projection import GaussianRandomProjection
from threadpoolctl import threadpool_limits

from features.projection import PcaFit, Projection, TooFewRowsError, gaussian


def rows_of(count: int, columns: int, seed: int = 0, offset: float = 3.0) -> NDArray[np.float32]:
    """Rows of falling variance around a mean that is not zero, in a turned basis."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(columns, columns)))
    spread = np.geomspace(3.0, 0.05, columns)
    return (rng.normal(size=(count, columns)) * spread @ basis + offset * rng.normal(size=columns)).astype(
        np.float32
    )


def fitted(rows: NDArray[np.float32], width: int, pieces: int = 1) -> Projection:
    fit = PcaFit(rows.shape[1], width)
    for piece in np.array_split(rows, pieces):
        fit.partial_fit(piece)
    return fit.fit()


@pytest.mark.parametrize(
    ("count", "columns", "width"),
    [(5000, 40, 10), (3001, 40, 40), (40, 40, 10), (41, 40, 10), (30, 200, 12), (13, 200, 12)],
)
def test_pca_is_that_of_scikit_learn(count: int, columns: int, width: int) -> None:
    rows = rows_of(count, columns)
    ours = fitted(rows, width, pieces=7)
    theirs = PCA(width, svd_solver="full").fit(rows.astype(np.float64))
    np.testing.assert_allclose(ours.mean, theirs.mean_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.components, theirs.components_, atol=2e-6)  # signs too
    np.testing.assert_allclose(ours.transform(rows), theirs.transform(rows.astype(np.float64)), atol=2e-5)
    assert ours.facts["rows"] == count
    assert ours.facts["variance_kept"] == pytest.approx(theirs.explained_variance_ratio_.sum(), rel=1e-9)


def test_pca_with_a_mean_that_dwarfs_the_spread() -> None:
    rng = np.random.default_rng(1)
    rows = (rng.normal(size=(4000, 12)) * np.linspace(2, 0.5, 12) + 1e4).astype(np.float32)
    theirs = PCA(4, svd_solver="full").fit(rows.astype(np.float64))
    np.testing.assert_allclose(fitted(rows, 4, pieces=50).components, theirs.components_, atol=1e-5)


def test_pca_finds_a_planted_plane() -> None:
    rng = np.random.default_rng(2)
    plane, _ = np.linalg.qr(rng.normal(size=(60, 2)))  # (60, 2)
    rows = rng.normal(size=(500, 2)) * [5, 2] @ plane.T + rng.normal(size=60) + 1e-3 * rng.normal(size=(500, 60))
    found = fitted(rows.astype(np.float32), 2)
    assert np.linalg.svd(found.components @ plane)[1].min() > 0.999999  # cosine of the largest angle


@pytest.mark.parametrize("count", [50, 64, 65, 2500])
def test_the_cut_of_the_rows_does_not_show(count: int) -> None:
    rows = rows_of(count, 64)
    whole = fitted(rows, 5)
    for pieces in (2, 13, 49):
        again = fitted(rows, 5, pieces)
        assert again.components.tobytes() == whole.components.tobytes()
        assert again.mean.tobytes() == whole.mean.tobytes()


def test_the_number_of_threads_does_not_show() -> None:
    rows = rows_of(3000, 300)
    results = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            projection = fitted(rows, 20)
            results.append((projection.components.tobytes(), projection.transform(rows).tobytes()))
    assert results[0] == results[1]


def test_pca_can_go_on_after_a_fit() -> None:
    rows = rows_of(2000, 30)
    fit = PcaFit(30, 4).partial_fit(rows[:700])
    fit.fit()
    after = fit.partial_fit(rows[700:]).fit()
    np.testing.assert_allclose(after.components, fitted(rows, 4).components, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 100])
def test_too_few_rows_fail(count: int) -> None:
    fit = PcaFit(400, 100).partial_fit(rows_of(count, 400) if count else np.empty((0, 400), np.float32))
    with pytest.raises(TooFewRowsError, match=rf"found {count}: use the gaussian projection"):
        fit.fit()


@pytest.mark.parametrize("count", [90, 400])
def test_rows_without_enough_directions_fail(count: int) -> None:
    rng = np.random.default_rng(3)
    flat = (rng.normal(size=(count, 6)) @ rng.normal(size=(6, 128))).round().astype(np.float32)
    flat = flat[:, :1] * np.arange(128, dtype=np.float32)  # exactly one direction
    with pytest.raises(TooFewRowsError, match=r"span 1: use the gaussian"):
        PcaFit(128, 10).partial_fit(flat).fit()


def test_constant_rows_fail() -> None:
    with pytest.raises(TooFewRowsError, match=r"span 0"):
        PcaFit(8, 2).partial_fit(np.full((20, 8), 3, np.float32)).fit()


def test_rows_that_are_no_numbers_fail() -> None:
    rows = rows_of(20, 8)
    rows[7, 3] = np.nan
    with pytest.raises(ValueError, match=r"1 of 20 rows hold NaN or infinity, the first is row 7"):
        PcaFit(8, 2).partial_fit(rows)


def test_other_widths_fail() -> None:
    with pytest.raises(ValueError, match=r"expected \(R, 8\)"):
        PcaFit(8, 2).partial_fit(rows_of(5, 9))
    with pytest.raises(ValueError, match=r"expected \(R, 8\)"):
        gaussian(8, 2, seed=0).transform(rows_of(5, 9))
    for width in (0, 9):
        with pytest.raises(ValueError, match=r"expected 1 to 8"):
            PcaFit(8, width)
        with pytest.raises(ValueError, match=r"expected 1 to 8"):
            gaussian(8, width, seed=0)


def test_a_projection_is_rebuilt_from_its_arrays() -> None:
    rows = rows_of(300, 50)
    one = fitted(rows, 5)
    again = Projection("pca", one.mean.copy(), one.components.copy())
    assert again.transform(rows[:1]).tobytes() == one.transform(rows)[:1].tobytes()
    np.testing.assert_allclose(  # as documented, by hand
        again.transform(rows),
        (rows - one.mean.astype(np.float64)) @ one.components.T.astype(np.float64),
        atol=1e-5,
    )


def test_arrays_that_do_not_fit_fail() -> None:
    with pytest.raises(ValueError, match=r"expected \(raw_width,\)"):
        Projection("pca", np.zeros(4, np.float32), np.zeros((2, 5), np.float32))
    with pytest.raises(ValueError, match=r"expected pca or gaussian"):
        Projection("ica", np.zeros(5, np.float32), np.zeros((2, 5), np.float32))


def test_gaussian_keeps_distances_as_scikit_learn_does() -> None:
    rows = np.random.default_rng(6).normal(2.0, 1.0, (60, 4096)).astype(np.float32)
    before = euclidean_distances(rows.astype(np.float64))[np.triu_indices(60, 1)]
    ours = gaussian(4096, 100, seed=5).transform(rows).astype(np.float64)
    theirs = GaussianRandomProjection(100, random_state=0).fit(rows).transform(rows)
    ratios = [euclidean_distances(p)[np.triu_indices(60, 1)] / before for p in (ours, theirs)]
    assert abs(ratios[0].mean() - 1) < 0.05  # each ratio spreads by about 1 / sqrt(2 * 100)
    assert ratios[0].std() < 1.5 * ratios[1].std() < 0.15


def test_gaussian_is_its_seed() -> None:
    one = gaussian(300, 20, seed=1)
    assert one.components.tobytes() == gaussian(300, 20, seed=1).components.tobytes()
    assert one.components.tobytes() != gaussian(300, 20, seed=2).components.tobytes()
    assert one.facts == {"seed": 1} and not one.mean.any()
    assert one.components.std() == pytest.approx(20**-0.5, rel=0.05)
