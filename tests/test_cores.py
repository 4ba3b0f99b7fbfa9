"""Work is held to one core while it runs, and everything is as it was when it ends; threads are over when said."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import get_native_id
from types import ModuleType

import pytest
import torch
from dualstream.heads.data.normalisation import normalise_speakers
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions
from threadpoolctl import threadpool_info, threadpool_limits

from dualstream.cores import TASKS, available_cores, one_blas_thread, one_core, threads, torch_threads
from tests.heads.small_corpora import noise_corpus, with_signal

QUICK = FitOptions(seeds=(0, 1), epochs=2, patience=0)
HOLDS = (one_blas_thread, one_core)


def blas() -> set[int]:
    """Return how many threads the loaded BLAS libraries use."""
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def callers_settings() -> Iterator[None]:
    """Two threads for everything, as a user of the library may have set; what was there before comes back."""
    before = torch.get_num_threads()
    with threadpool_limits(2, user_api="blas"):
        torch.set_num_threads(2)
        yield
        torch.set_num_threads(before)


@pytest.mark.parametrize("hold", HOLDS)
def test_blas_is_held_and_set_back(hold) -> None:
    assert blas() == {2}
    with hold():
        assert blas() == {1}
        with hold():
            assert blas() == {1}
        assert blas() == {1}
    assert blas() == {2}


def test_torch_is_held_and_set_back() -> None:
    with one_core():
        with one_core():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_blas_alone_leaves_torch() -> None:
    with one_blas_thread():
        assert torch.get_num_threads() == 2


def test_what_ends_with_an_error_sets_back() -> None:
    with pytest.raises(KeyError), one_core():
        raise KeyError
    assert (blas(), torch.get_num_threads()) == ({2}, 2)


@pytest.mark.parametrize("hold", HOLDS)
def test_holds_that_overlap_in_other_threads_set_back_what_the_first_found(hold) -> None:
    began, other_began, ended = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with hold():
            began.set()
            assert other_began.wait(10)
        ended.set()

    def last() -> tuple[set[int], set[int]]:
        assert began.wait(10)
        with hold():
            other_began.set()
            assert ended.wait(10)
            inside = blas()
        return inside, blas()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(first), pool.submit(last)
        one.result()
        assert other.result() == ({1}, {2})
    assert (blas(), torch.get_num_threads()) == ({2}, 2)


def test_threads_of_a_pool_are_held() -> None:
    def work() -> int:
        with one_core():
            pass  # a fit inside of a fit
        return torch.get_num_threads()

    with one_core(), threads(2) as pool:
        assert {one.result() for one in [pool.submit(work) for _ in range(8)]} == {1}
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_libraries_that_come_in_meanwhile_are_held() -> None:
    program = (
        "from dualstream.cores import one_core\n"
        "from threadpoolctl import threadpool_info, threadpool_limits\n"
        "import numpy\n"
        "threadpool_limits(2)\n"
        "with one_core():\n"
        "    import scipy.linalg, torch\n"
        "    torch.set_num_threads(2)\n"
        "    with one_core():\n"
        "        held = {one['num_threads'] for one in threadpool_info() if one['user_api'] == 'blas'}\n"
        "        assert held == {1}, held\n"
        "        assert torch.get_num_threads() == 1\n"
        "assert torch.get_num_threads() == 2\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_torch_that_another_thread_is_importing_is_left_alone(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    with one_core():
        assert blas() == {1}
    assert blas() == {2}


def test_torch_threads() -> None:
    with torch_threads(3):
        assert torch.get_num_threads() == 3
    with torch_threads(None):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("name", ["linear_late", "concat"])
def test_a_fit_runs_on_one_core_and_leaves_the_callers_settings(name: str) -> None:
    found = []
    corpus = noise_corpus(60)
    model, _ = registry.fit(
        name, corpus, options=QUICK, progress=lambda event: found.append((blas(), torch.get_num_threads()))
    )
    assert found
    assert all(one == ({1}, 1) for one in found)
    model.predict(corpus)
    assert (blas(), torch.get_num_threads()) == ({2}, 2)


@pytest.mark.parametrize(
    ("name", "solver"), [("linear_late", "logistic"), ("linear", "ridge"), ("linear", "lda"), ("concat", None)]
)
def test_answers_are_the_same_bytes_under_one_and_two_threads(name: str, solver: str | None) -> None:
    corpus = with_signal(noise_corpus(1500, widths=(250, 300)), video=0.05, audio=0.05)
    options = replace(QUICK, parameters={} if solver is None else {"solver": solver})

    def answers(count: int) -> list[bytes]:
        torch.set_num_threads(count)
        with threadpool_limits(count, user_api="blas"):
            models = registry.fit(name, normalise_speakers(corpus), options=replace(options, threads=count))
            return [model.predict(corpus).emotion.tobytes() for model in models]

    assert answers(1) == answers(2)


def _backward() -> int:
    torch.ones(2, requires_grad=True).sum().backward()
    return get_native_id()


@pytest.mark.skipif(not TASKS.is_dir(), reason="the threads of a process are listed on Linux alone")
def test_no_thread_is_left() -> None:
    for _ in range(50):
        with threads(2) as pool:
            used = {one.result() for one in [pool.submit(_backward) for _ in range(4)]}
        assert used
        assert not [one for one in used if (TASKS / str(one)).exists()]


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_a_program_that_ends_at_once_ends_well(times: int) -> None:
    program = (
        "import torch\nfrom dualstream.cores import threads\n"
        "with threads(2) as pool:\n"
        "    work = lambda: torch.ones(2, requires_grad=True).sum().backward()\n"
        "    [one.result() for one in [pool.submit(work) for _ in range(2)]]\n"
    )
    for _ in range(times):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_cores() -> None:
    assert available_cores() >= 1
