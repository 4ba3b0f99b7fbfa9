"""A driver's hold on a Ray cluster: connected with our code, quiet on standard output, signals left alone."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualstream.pipeline.corpus.addresses import shown_address
from dualstream.pipeline.errors import DualstreamError, UsageError
from dualstream.pipeline.storage.download import is_answered

from dualstream.installation import copy_package, install_hint
from dualstream.signals import SIGNALS

MOST_CORES = 4  # of one process: more of them share one interpreter's lock
ANSWER_S = 10.0
REMEDY = "See `ray status` there, and that Ray and Python are of the same versions on all machines"
CLIENT = "ray://"
CLIENT_REMEDY = (
    "which can't start processes that answer while they work; expected the cluster's own address. Run the command "
    "on a machine of the cluster with --ray-address auto (from elsewhere: `ray job submit --address "
    "http://HOST:8265 -- dualstream extract … --executor ray --ray-address auto`), or where all of its ports are "
    "reached with --ray-address HOST:6379"
)


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, or one of several raylets on it."""

    id: str
    name: str
    cores: int
    gpus: int

    def slots(self, gpus: bool) -> list[tuple[int, int]]:
        """Return the processes that it takes, each with its cores and GPUs."""
        if gpus:
            count = min(self.gpus, self.cores)
            return [(self.cores // count, 1)] * count if count else []
        count = -(-self.cores // MOST_CORES)
        return [(self.cores // count + (number < self.cores % count), 0) for number in range(count)]


def require_ray() -> None:
    """Raise DualstreamError where ray is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise DualstreamError(
            f"--executor ray needs the package ray: {install_hint('ray')}, or use --executor local"
        ) from error


def refuse_client_address(address: str | None) -> None:
    """Raise UsageError where a cluster is named by an address of Ray's client."""
    there = address or os.environ.get("RAY_ADDRESS") or ""
    if not there.lower().startswith(CLIENT):
        return
    named = "--ray-address" if address else "RAY_ADDRESS"
    host = urllib.parse.urlsplit(there).hostname or "HOST"
    raise UsageError(
        f"{named} {shown_address(there)} is an address of Ray's client, {CLIENT_REMEDY.replace('HOST', host)}"
    )


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[Any]:
    """Connect to a cluster, or start one on this machine where none is named, and give the module `ray`.

    A driver that is connected already stays so. Ray prints to standard output, where a JSON document belongs, and
    puts its own handlers in the place of ours: both are undone.

    Raises
    ------
    DualstreamError
        Where there is no cluster at the address, or of another version of Ray or Python.
    UsageError
        Where the address is of Ray's client.
    """
    refuse_client_address(address)
    require_ray()
    with _quiet_output():
        import ray

        if ray.is_initialized():
            if ray.util.client.ray.is_connected():
                raise UsageError(f"this process is connected to a cluster by Ray's client, {CLIENT_REMEDY}")
            if address is not None:
                raise UsageError("--ray-address names a cluster, and this process is connected to one already")
            yield ray
            return
        try:
            with _kept_signals(), _code() as code:
                _connect(ray, address, code)
            yield ray
        finally:
            with _kept_signals():
                ray.shutdown()


def nodes(ray: Any) -> list[Node]:
    """Return the nodes that are alive and have cores, in the order of their names."""
    found = []
    for one in ray.nodes():
        resources = one["Resources"]
        cores, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        if one["Alive"] and (cores or gpus):
            name = one.get("NodeName") or ""
            if name in ("", one["NodeManagerAddress"]):
                name = one["NodeManagerHostname"]
            found.append(Node(one["NodeID"], name, cores, gpus))
    names = [one.name for one in found]
    distinct = [
        one if names.count(one.name) == 1 else Node(one.id, f"{one.name} ({one.id[:8]})", one.cores, one.gpus)
        for one in found
    ]
    return sorted(distinct, key=lambda one: (one.name, one.id))


def _connect(ray: Any, address: str | None, code: Path) -> None:
    there = address or os.environ.get("RAY_ADDRESS")
    more: dict[str, Any] = {"address": there}
    if not there:
        more = {"address": "local", "include_dashboard": False}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing of ours is reported to anybody
    found = re.fullmatch(r"([\w.-]+):(\d{1,5})", there or "")
    if found and not is_answered(found[1], int(found[2]), ANSWER_S):  # Ray would try for minutes
        raise DualstreamError(f"no Ray cluster answers at {there}: nobody takes connections there. {REMEDY}")
    try:
        ray.init(
            runtime_env={"py_modules": [str(code)]},
            log_to_driver=False,
            logging_level="ERROR",
            **more,
        )
    except SystemExit as end:  # Ray's own handler of SIGTERM, which stands while it connects
        raise KeyboardInterrupt from end
    except Exception as error:
        where = f"at {there}" if there else "on this machine"
        words = " ".join(str(error).split())
        raise DualstreamError(
            f"no Ray cluster answers {where}: {type(error).__name__}: {words[:400]}. {REMEDY}"
        ) from error


@contextlib.contextmanager
def _code() -> Iterator[Path]:
    """Give a folder `dualstream` that holds this very code as one package, for nodes to import."""
    with tempfile.TemporaryDirectory(prefix="dualstream-code-") as above:
        package = copy_package(Path(above))
        yield package


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """Set handlers of signals back to what they were before the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


@contextlib.contextmanager
def _quiet_output() -> Iterator[None]:
    """Have what is written to standard output, by Python or below it, go to standard error in the block."""
    saved = None
    sys.stdout.flush()
    with contextlib.suppress(OSError):
        saved = os.dup(1)
        os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)
