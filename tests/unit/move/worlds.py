"""Small worlds for the move's tests: three nodes, one VM."""

from __future__ import annotations

from hacluster.ports import Domain, HeldLock, HostFacts, Unknown

UUID = "6f1c2a52-0000-4000-8000-000000000001"
CONFIG = "/etc/hacluster/domains/web.0123456789abcdef.xml"
Facts = dict[str, HostFacts | Unknown]


def host(node: str, presence: str = "ABSENT", mode: str | None = None, state: str = "running") -> HostFacts:
    """A healthy node; with a copy of the VM in `state` where presence is PRESENT."""
    return HostFacts(
        node=node,
        boot_id=f"boot-{node}",
        guard_version="1",
        hook_ok=True,
        libvirt_answers=True,
        mem_total=8 << 30,
        mem_available=4 << 30,
        bridges=("br0",),
        domains=(Domain("web", UUID, state),) if presence == "PRESENT" else (),
        qemus=(),
        locks=(HeldLock(UUID, mode),) if mode else (),
        domain_files=("web.0123456789abcdef.xml",),
        presence={UUID: presence},
    )


def at_source(mode: str = "EX") -> Facts:
    """The VM on n1."""
    return {"n1": host("n1", "PRESENT", mode), "n2": host("n2"), "n3": host("n3")}


def at_target(mode: str = "EX", state: str = "running") -> Facts:
    """The VM on n2."""
    return {"n1": host("n1"), "n2": host("n2", "PRESENT", mode, state), "n3": host("n3")}
