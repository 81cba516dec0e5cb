"""A whole cluster put aside and taken up again in seconds: each machine's memory and disk, and the shared disks.

All machines are stopped first, so that nothing of one is later than anything of another: to the cluster no time
passes between saving and going on.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hacluster.lab import host
from hacluster.lab.machines import channel
from hacluster.lab.machines.description import Description
from hacluster.lab.machines.power import Supply
from hacluster.problems import Refused

SAVED_WITHIN = 300.0
LOADED_WITHIN = 120.0


def exists(place: Path) -> bool:
    """Whether a snapshot was put there to its end."""
    return place.is_dir()


def save(run: Path, description: Description, place: Path) -> None:
    """Put the running machines aside at `place`, and let them go on. Raises Refused, channel.NoAnswer."""
    monitors = [run / "nodes" / machine.name / "qmp" for machine in description.machines]
    unfinished = place.with_name(f".{place.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    _each(monitors, lambda monitor: channel.ask_qemu(monitor, "stop"))
    _each(monitors, lambda monitor: _save_memory(monitor, unfinished / f"{monitor.parent.name}.memory"))
    for file in _disks(run, description):
        _copy(file, unfinished / _flat(run, file))
    unfinished.rename(place)
    _each(monitors, lambda monitor: channel.ask_qemu(monitor, "cont"))


def restore(run: Path, description: Description, place: Path) -> None:
    """Put the machines into the state that lies at `place`, whatever they are doing. Raises Refused, NoAnswer."""
    names = [machine.name for machine in description.machines]
    for name in names:
        Supply(run, name).off()
    for file in _disks(run, description):
        _copy(place / _flat(run, file), file)
    for name in names:
        Supply(run, name).on(memory=place / f"{name}.memory")
    monitors = [run / "nodes" / name / "qmp" for name in names]
    _each(monitors, _wait_loaded)
    _each(monitors, lambda monitor: channel.ask_qemu(monitor, "cont"))


def _save_memory(monitor: Path, file: Path) -> None:
    channel.ask_qemu(monitor, "migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    channel.ask_qemu(monitor, "migrate", uri=f"exec:exec zstd -q -1 -f -o {file}")
    until = time.monotonic() + SAVED_WITHIN
    while time.monotonic() < until:
        state = channel.ask_qemu(monitor, "query-migrate")
        assert isinstance(state, dict)
        if state.get("status") == "completed":
            return
        if state.get("status") == "failed":
            raise Refused(host.FAILED(f"QEMU could not save {monitor.parent.name}.", answer=state))
        time.sleep(0.1)
    raise Refused(host.FAILED(f"{monitor.parent.name} was not saved within {SAVED_WITHIN:.0f} s."))


def _wait_loaded(monitor: Path) -> None:
    until = time.monotonic() + LOADED_WITHIN
    while True:
        try:
            state = channel.ask_qemu(monitor, "query-status")
            assert isinstance(state, dict)
            if state["status"] != "inmigrate":
                return
        except channel.NoAnswer:  # it has only just been started
            if time.monotonic() > until:
                raise
        time.sleep(0.05)


def _disks(run: Path, description: Description) -> list[Path]:
    own = [run / "nodes" / machine.name / "root.qcow2" for machine in description.machines]
    return own + [run / f"{disk.serial}.img" for disk in description.shared_disks]


def _flat(run: Path, file: Path) -> str:
    return "-".join(file.relative_to(run).parts)


def _copy(source: Path, target: Path) -> None:
    """A copy with the holes of the original: most of a shared disk is one."""
    host.run(["cp", "--sparse=always", source, target], timeout=SAVED_WITHIN)


def _each(monitors: Iterable[Path], deed: Callable[[Path], object]) -> None:
    """The same with every machine at once. Raises what any of them raised."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(deed, monitors))
