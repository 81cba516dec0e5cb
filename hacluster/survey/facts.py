"""A host's facts as frozen values, read with suspicion from what the probe printed.

Each part of the answer is a field of `Host`; one that is missing or of another shape than expected is None, "could
not be learnt", and so is never taken for "none there" or "fine".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hacluster.ports import Unknown

FORMAT = 1


@dataclass(frozen=True, slots=True)
class System:
    """Names and identity. `product_uuid` is the board's, None where the machine has none."""

    hostname: str
    release: str
    kernel: str
    machine_id: str | None
    product_uuid: str | None
    cpus: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes."""

    total: int
    available: int


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """libvirt's word on itself. `said` is why it does not answer; `host_model` is XML inside <cpu> for a baseline.

    `cpu` is libvirt's model of the host's CPU, `models` those that a guest can be given here with `kvm`, or without.
    """

    answers: bool
    said: str = ""
    uuid: str | None = None
    kvm: bool = False
    machines: tuple[str, ...] = ()
    qemu: str | None = None
    cpu: str | None = None
    cpu_name: str | None = None
    models: tuple[str, ...] = ()
    host_model: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface; `vlan` is its VLAN id, `master` the bridge or bond that it belongs to."""

    name: str
    kind: str
    mtu: int
    up: bool
    master: str
    vlan: int | None
    filters_vlans: bool
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """A device that the spec names; `wwid` is its world-wide name, whatever path leads to it."""

    exists: bool
    block: bool
    wwid: str | None


@dataclass(frozen=True, slots=True)
class Map:
    """A multipath map, its paths and those of them that work."""

    name: str
    wwid: str
    paths: int
    active: int


@dataclass(frozen=True, slots=True)
class Multipath:
    """multipathd, where it is installed."""

    answers: bool
    maps: tuple[Map, ...]


@dataclass(frozen=True, slots=True)
class Iommu:
    """IOMMU groups of the kernel."""

    groups: int


@dataclass(frozen=True, slots=True)
class Watchdog:
    """A watchdog device."""

    device: str
    identity: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit; `after` is told of the drain unit and of Pacemaker only."""

    loaded: bool
    active: bool
    enabled: bool
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Starter:
    """A line outside the cluster that starts guests."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Ssh:
    """Root's login to a peer: ok, key unknown, key changed, login refused, no address, silent, refused or failed."""

    word: str
    said: str


@dataclass(frozen=True, slots=True)
class Reached:
    """Whether a peer's libvirt answered."""

    ok: bool
    said: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The way to an address: MTU of the interface it leaves by, and whether a small and a full packet came back."""

    mtu: int | None
    small: bool | None
    full: bool | None


@dataclass(frozen=True, slots=True)
class Peer:
    """The way from a host to another. `ports` are words: open, refused, silent, no address."""

    ssh: Ssh
    libvirt: Reached
    ports: Mapping[str, str]
    frames: Mapping[str, Frame]


@dataclass(frozen=True, slots=True)
class Host:
    """What a host said. None stands for "could not be learnt"; `multipath` also for "not installed".

    `skew` is seconds that its clock is ahead of the asking machine's, `doubt` how far that may be off; both are
    measured by the asker. `corosync_links` are by node id, where Corosync runs.
    """

    name: str
    system: System | None = None
    memory: Memory | None = None
    versions: Mapping[str, str | None] | None = None
    hypervisor: Hypervisor | None = None
    links: tuple[Link, ...] | None = None
    luns: tuple[str, ...] | None = None
    multipath: Multipath | None = None
    iommu: Iommu | None = None
    watchdogs: tuple[Watchdog, ...] | None = None
    units: Mapping[str, Unit] | None = None
    autostart: tuple[str, ...] | None = None
    starters: tuple[Starter, ...] | None = None
    synchronized: bool | None = None
    corosync_links: Mapping[str, tuple[bool, ...]] | None = None
    devices: Mapping[str, Device] | None = None
    peers: Mapping[str, Peer | None] | None = None
    skew: float | None = None
    doubt: float | None = None

    def unit(self, name: str) -> Unit | None:
        """A unit, None where systemd did not answer."""
        return None if self.units is None else self.units.get(name, Unit(False, False, False, ()))


Survey = Mapping[str, Host | Unknown]
"""Every host by its name."""

_ASKER = ("name", "skew", "doubt")
"""Fields that the host does not tell itself."""


def read(name: str, text: bytes) -> Host | Unknown:
    """The probe's answer."""
    try:
        told = json.loads(text)
    except ValueError as error:
        return Unknown(f"its answer is no JSON ({error})")
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        return Unknown(f"its answer is of another format than {FORMAT}")
    hints = get_type_hints(Host)
    known = {}
    for field in fields(Host):
        if field.name not in _ASKER:
            try:
                known[field.name] = _value(hints[field.name], told.get(field.name))
            except (KeyError, TypeError, ValueError):
                known[field.name] = None
    return Host(name, **known)


def _value(wanted: Any, told: Any) -> Any:  # noqa: ANN401 - JSON in, a value of the wanted type out
    """A JSON value as a value of the wanted type. Raises TypeError, KeyError where it has another shape."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is UnionType:
        if told is None and NoneType in inner:
            return None
        (wanted,) = (each for each in inner if each is not NoneType)
        return _value(wanted, told)
    if is_dataclass(wanted):
        if not isinstance(told, dict):
            raise TypeError
        return _record(wanted, told)
    if origin is tuple and isinstance(told, list):
        return tuple(_value(inner[0], each) for each in told)
    if origin is Mapping and isinstance(told, dict):
        return {str(key): _value(inner[1], each) for key, each in told.items()}
    if isinstance(wanted, type) and type(told) is wanted:
        return told
    raise TypeError


def _record(wanted: Any, told: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any of the dataclasses above
    hints = get_type_hints(wanted)
    given = {}
    for field in fields(wanted):
        if field.name in told or field.default is MISSING:
            given[field.name] = _value(hints[field.name], told[field.name])
    return wanted(**given)
