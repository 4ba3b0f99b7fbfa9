from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dualstream.features import projection
from dualstream.features.projection import PCA as COMPONENTS
from dualstream.features.projection import TURNED, PcaFit, Projection, TooFewRowsError, gaussian, rotation, turned
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.random_projection import GaussianRandomProjection
from threadpoolctl import threadpool_limits


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
            around = turned(projection)
            results.append([one.components.tobytes() for one in (projection, around)])
            results[-1] += [one.transform(rows).tobytes() for one in (projection, around)]
    assert results[0] == results[1]


@pytest.mark.parametrize("width", [1, 2, 3, 32, 100, 192])
def test_rotation_is_orthogonal_and_mixes(width: int) -> None:
    found = rotation(width, seed=0)
    np.testing.assert_allclose(found @ found.T, np.eye(width), atol=1e-13)
    np.testing.assert_allclose(found.T @ found, np.eye(width), atol=1e-13)
    if width >= 32:  # entries of a rotation drawn evenly spread like a normal of variance 1 / width
        assert found.std() == pytest.approx(width**-0.5, rel=1e-3)
        assert np.abs(found).max() < 7 * width**-0.5
        assert kurtosis(found.ravel()) == pytest.approx(3 - 6 / (width + 2), abs=0.6)


def kurtosis(values: NDArray[np.float64]) -> float:
    return float(np.mean(values**4) / np.mean(values**2) ** 2)


def test_rotation_is_its_seed() -> None:
    assert rotation(40, seed=3).tobytes() == rotation(40, seed=3).tobytes()
    assert np.abs(rotation(40, seed=3) - rotation(40, seed=4)).max() > 0.1


def test_the_machine_does_not_show(tmp_path: Path) -> None:
    """OpenBLAS picks its kernels by processor; neither the rotation nor what is turned by it tells which."""
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(384, 384)))
    steep = np.geomspace(1000, 0.5, 384)  # late components of such rows differ in their last digits
    np.save(tmp_path / "rows.npy", (rng.normal(size=(3000, 384)) * steep @ basis).astype(np.float32))
    code = (
        "import hashlib, sys, numpy as np\n"
        "from dualstream.features.projection import PcaFit, rotation, turned\n"
        "rows = np.load(sys.argv[1])\n"
        "one = turned(PcaFit(384, 160).partial_fit(rows).fit())\n"
        "for array in (rotation(192, seed=0), one.mean, one.components, one.transform(rows)):\n"
        "    print(hashlib.sha256(array).hexdigest())\n"
    )
    told = []
    for kernels in ("Prescott", "Haswell"):
        environment = {**os.environ, "OPENBLAS_CORETYPE": kernels}
        told.append(
            subprocess.run(
                [sys.executable, "-c", code, str(tmp_path / "rows.npy")],
                capture_output=True, check=True, text=True, env=environment,
            ).stdout.split()
        )  # fmt: skip
    assert told[0] == told[1]
    assert told[0][0] == "14247eb919c0ac1a97de7905b295a63f1e678bb5344646f16801286c4064d612"


def test_turned_components_span_the_same_and_keep_distances() -> None:
    rows = rows_of(600, 80)
    components, around = fitted(rows, 20), turned(fitted(rows, 20))
    assert (components.kind, around.kind) == (COMPONENTS, TURNED)
    assert around.facts == {**components.facts, "rotation_seed": 0}
    assert around.mean.tobytes() == components.mean.tobytes()
    theirs = PCA(20, svd_solver="full").fit(rows.astype(np.float64)).components_
    np.testing.assert_allclose(around.components.T @ around.components, theirs.T @ theirs, atol=2e-6)
    np.testing.assert_allclose(
        euclidean_distances(around.transform(rows[:50]).astype(np.float64)),
        euclidean_distances(components.transform(rows[:50]).astype(np.float64)),
        rtol=1e-5, atol=1e-3,
    )  # fmt: skip


def test_standardising_does_not_whiten_what_is_turned() -> None:
    """A direction of a thousandth of the variance weighs as much as any once it is a standardised column."""
    rows = rows_of(4000, 60)
    components = fitted(rows, 40)
    shares = {}
    for name, one in (("as they are", components), ("turned", turned(components))):
        values = one.transform(rows).astype(np.float64)
        standard = (values - values.mean(axis=0)) / values.std(axis=0)
        spectrum = np.linalg.eigvalsh(np.cov(standard.T))
        shares[name] = spectrum[-10:].sum() / spectrum.sum()
    before = np.linalg.eigvalsh(np.cov(components.transform(rows).T))
    assert shares["as they are"] == pytest.approx(10 / 40, abs=0.01)
    assert shares["turned"] == pytest.approx(before[-10:].sum() / before.sum(), abs=0.05)


def test_turning_what_is_no_pca_fails() -> None:
    components = fitted(rows_of(300, 20), 5)
    for other in (gaussian(20, 5, seed=0), turned(components)):
        with pytest.raises(ValueError, match="only the components of a pca can be turned"):
            turned(other)


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


def test_the_cores_of_a_machine_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(1500, 600)
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(projection, "available_cores", lambda count=cores: count)
        found.append(PcaFit(600, 7).partial_fit(rows).fit())
    assert np.array_equal(found[0].components, found[1].components)
    theirs = PCA(7, svd_solver="full").fit(rows.astype(np.float64)).components_
    theirs *= np.sign(theirs[np.arange(7), np.abs(theirs).argmax(axis=1)])[:, None]
    np.testing.assert_allclose(found[0].components, theirs, atol=1e-5)
