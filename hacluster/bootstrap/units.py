"""systemd's units on a machine: what they are, and the commands that make them what they should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hacluster.bootstrap.changes import CommandChange
from hacluster.bootstrap.host import Host


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: whether there is one of this name, whether it starts at boot, whether it runs."""

    there: bool = False
    enabled: bool = False
    active: bool = False


def look(host: Host, names: Sequence[str]) -> Mapping[str, Unit]:
    """The units of these names. Raises Unreachable, OSError when systemd does not answer."""
    argv = ["systemctl", "show", "--property=Id,LoadState,ActiveState,UnitFileState", "--", *names]
    done = host.run(argv)
    if not done.ok:
        raise OSError(f"systemctl show: {done.err.decode(errors='replace').strip()}")
    found: dict[str, Unit] = {}
    for name, part in zip(names, done.out.decode(errors="replace").split("\n\n"), strict=False):
        told = dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        found[name] = Unit(
            told.get("LoadState") not in (None, "not-found"),
            told.get("UnitFileState") in ("enabled", "enabled-runtime", "static", "alias"),
            told.get("ActiveState") in ("active", "activating", "reloading"),
        )
    return {name: found.get(name, Unit()) for name in names}


def on(host: Host, units: Mapping[str, Unit], names: Sequence[str], why: str) -> tuple[CommandChange, ...]:
    """What makes these units start at boot, and run now."""
    missing = tuple(name for name in names if not (units[name].enabled and units[name].active))
    argv = ("systemctl", "enable", "--now", *missing)
    return (CommandChange(host.name, argv, why, deadline=300.0),) if missing else ()


def not_at_boot(host: Host, units: Mapping[str, Unit], names: Sequence[str], why: str) -> tuple[CommandChange, ...]:
    """What keeps these units from starting at boot. One that runs is not stopped: what hangs on it is not known."""
    wrong = tuple(name for name in names if units[name].there and units[name].enabled)
    return (CommandChange(host.name, ("systemctl", "disable", *wrong), why, deadline=120.0),) if wrong else ()
