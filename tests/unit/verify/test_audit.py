"""What an audit says of a cluster that runs well, and each single thing that would hurt at the next fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from hacluster import claim
from hacluster.cib import managed
from hacluster.claim import Claim
from hacluster.lock_driver import QEMU_CONF, settings
from hacluster.model import LockDriver
from hacluster.observe import Observation, audit, audit_vms, observe
from hacluster.observe.barriers import Barriers, barriers, unfenceable
from hacluster.observe.draining import AFTER, DRAIN
from hacluster.observe.findings import DEFINED_TWICE
from hacluster.ports import (
    Definition,
    DiskUser,
    Domain,
    DrainUnit,
    HeldLock,
    HostAudit,
    HostDisk,
    HostFacts,
    LeaseFacts,
    Unknown,
)
from hacluster.problems import Kind
from tests.unit.observe import test_read as small

UUID = small.UUID
STRANGE = "11111111-2222-4333-8444-555555555555"
SUM = "0123456789abcdef" * 4
DISK = "/dev/lab/web"
QEMU = DiskUser(7, UUID, "qemu-system-x86_64", True)
Facts = Mapping[str, HostFacts | Unknown]
LEASED = LockDriver("lockd", "/leases", "/vm")


def cib(constraints: str = "", handover: str = "paused") -> bytes:
    """The small cluster of the observation's tests, with a fence device for both nodes and the VM's sums."""
    raw = small.cib(constraints).replace(b'name="pcmk_host_list" value="n1"', b'name="pcmk_host_list" value="n1 n2"')
    extra = f'<nvpair id="w-x" name="xml_sha256" value="{SUM}"/><nvpair id="w-h" name="handover" value="{handover}"/>'
    return raw.replace(b'</instance_attributes></primitive>\n   <primitive id="foreign"', b"", 0).replace(
        b'<nvpair id="w-u"', extra.encode() + b'<nvpair id="w-u"'
    )


def told(node: str, **changed: Any) -> HostAudit:
    """A node in order. The VM runs on n1, on a block disk that it has locked."""
    disk = HostDisk(UUID, DISK, "block", "", False, (QEMU,) if node == "n1" else ())
    well = HostAudit(
        node=node,
        pacemaker="2.1.5",
        code="c0ffee",
        guests_service=False,
        definitions=(),
        domain_sums={Path(small.FILE).name: SUM},
        disks=(disk,),
        drain=DrainUnit(True, True, True, AFTER),
    )
    return replace(well, **changed)


def audited(
    audits: Mapping[str, HostAudit | Unknown],
    facts: Facts = small.WELL,
    raw: bytes | None = None,
    monitor: bytes | None = None,
) -> dict[str, str]:
    """What the audit finds beyond the observation: message by code."""
    raw = raw or cib()
    seen = observe(raw, monitor or small.monitor(), facts, now=1000.0)
    configured = {vm.name: vm for vm in managed.vms(etree.fromstring(raw))}
    stand = {vm.name: barriers(vm, configured.get(vm.name), seen, audits) for vm in seen.vms}
    found = audit.judge(audit.Subject(seen, configured, audits, stand, unfenceable(seen)))
    return {problem.code: problem.message for problem in found}


BOTH: Mapping[str, HostAudit | Unknown] = {"n1": told("n1"), "n2": told("n2")}


def test_a_cluster_in_order_has_no_finding() -> None:
    assert audited(BOTH) == {}


def disk(*users: DiskUser, **changed: Any) -> tuple[HostDisk, ...]:
    return (replace(HostDisk(UUID, DISK, "block", "", False, users), **changed),)


DEFINED = Definition("web", UUID, False)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"definitions": (replace(DEFINED, autostart=True),)}, audit.AUTOSTART),
        ({"guests_service": True}, audit.GUESTS_SERVICE),
        ({"domain_sums": {Path(small.FILE).name: "f" * 64}}, audit.XML_DIFFERS),
        ({"code": "other"}, audit.VERSIONS_DIFFER),
        ({"pacemaker": "2.1.4-3.el8"}, audit.OLD_PACEMAKER),
        ({"pacemaker": "2.0"}, audit.OLD_PACEMAKER),
        ({"pacemaker": None}, audit.NOT_AUDITED),
        ({"guests_service": None}, audit.NOT_AUDITED),
        ({"disks": None}, audit.NOT_AUDITED),
        ({"disks": disk(DiskUser(9, STRANGE, "qemu-system-x86_64", False))}, audit.STRANGER),
        ({"disks": disk(DiskUser(9, "", "qemu-nbd", False))}, audit.STRANGER),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_what_a_node_says(changed: dict[str, Any], code: Kind) -> None:
    assert list(audited({**BOTH, "n2": told("n2", **changed)})) == [code.code]


@pytest.mark.parametrize("version", ["2.1.5", "2.1.5-4+deb12u1", "2.1.10", "3.0.0", "unknown"])
def test_a_pacemaker_that_is_new_enough_or_says_no_number_is_no_finding(version: str) -> None:
    assert audited({**BOTH, "n2": told("n2", pacemaker=version)}) == {}


def test_definitions_of_vms_that_nobody_manages_are_their_owners_business() -> None:
    assert audited({**BOTH, "n2": told("n2", definitions=(Definition("other", STRANGE, True),))}) == {}


def test_a_definition_is_told_here_only_where_libvirt_is_silent() -> None:
    """Otherwise the observation has said it."""
    audits = {**BOTH, "n2": told("n2", definitions=(DEFINED,))}
    assert audited(audits) == {}
    silent = small.changed("n2", domains=None, libvirt_answers=False)
    assert list(audited(audits, silent)) == [DEFINED_TWICE.code]


def test_a_disk_that_two_vms_share_has_two_owners() -> None:
    both = (QEMU, DiskUser(8, STRANGE, "qemu-system-x86_64", True))
    shared = (*disk(*both), HostDisk(STRANGE, DISK, "block", "", True, both))
    assert audited({**BOTH, "n1": told("n1", disks=shared)}) == {}


def test_a_node_that_is_not_audited_is_a_finding_unless_it_is_silent_altogether() -> None:
    audits = {**BOTH, "n2": Unknown("too old")}
    assert list(audited(audits)) == [audit.NOT_AUDITED.code]
    assert audited(audits, {**small.WELL, "n2": Unknown("no answer")}) == {}


def test_guards_of_two_formats_are_told_with_each_nodes_version() -> None:
    assert list(audited(BOTH, small.changed("n2", guard_version="2"))) == [audit.VERSIONS_DIFFER.code]


def test_a_node_that_no_device_targets_is_a_finding_and_a_stopped_device_does_not_count() -> None:
    assert list(audited(BOTH, raw=cib().replace(b'value="n1 n2"', b'value="n1"'))) == [audit.NOT_FENCEABLE.code]
    by_its_agent = cib().replace(b'name="pcmk_host_list"', b'name="pcmk_host_map"')
    assert audited(BOTH, raw=by_its_agent) == {}
    off = b'<meta_attributes id="m"><nvpair id="m-t" name="target-role" value="Stopped"/></meta_attributes></primitive>'
    stopped = by_its_agent.replace(b"</primitive>", off, 1)
    assert list(audited(BOTH, raw=stopped)) == [audit.NOT_FENCEABLE.code]


def test_a_guard_that_is_not_announced_is_withdrawn() -> None:
    """n2 of the small cluster announces nothing; that is a finding once there is a lockspace to announce."""
    lockspace = small.resource("hacluster-lockspace").replace("ocf:heartbeat:Filesystem", "ocf:hacluster:lockspace")
    with_lockspace = small.monitor().replace(
        b"</resources>", f'<clone id="hacluster-lockspace-clone">{lockspace}</clone></resources>'.encode()
    )
    assert list(audited(BOTH, monitor=with_lockspace)) == [audit.WITHDRAWN.code]


# ---- VMs


def holding(node: str, mode: str, uuid: str = UUID, **changed: Any) -> Facts:
    facts = small.WELL[node]
    assert isinstance(facts, HostFacts)
    held = HeldLock(uuid, mode, "0123456789abcdef", "n2", 5)
    return {**small.WELL, node: replace(facts, locks=(*(facts.locks or ()), held), **changed)}


def test_a_lock_where_the_vm_is_not_is_left_over() -> None:
    assert audited(BOTH, holding("n2", "EX")) == {"HA509": "n2 holds the run-lock of web (EX) and has no copy of it"}


def test_a_lock_of_nobodys_vm_is_foreign() -> None:
    assert list(audited(BOTH, holding("n2", "EX", STRANGE))) == [audit.FOREIGN_LOCK.code]


GATE: Facts = {
    "n1": replace(small.facts("n1", runs=True, mode="PW"), locks=(HeldLock(UUID, "PW", "0123456789abcdef", "n2", 5),)),
    "n2": small.facts("n2"),
}


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        (DrainUnit(False, False, False, ()), "n1: the drain unit is not installed"),
        (DrainUnit(True, False, True, AFTER), "n1: the drain unit is not enabled"),
        (DrainUnit(True, True, False, AFTER), "n1: the drain unit is not active"),
        (
            DrainUnit(True, True, True, ("basic.target", *AFTER[1:])),
            f"n1: the drain unit is not ordered after {AFTER[0]}",
        ),
    ],
)
def test_a_drain_unit_that_would_not_drain(unit: DrainUnit, said: str) -> None:
    found = audited({"n1": told("n1", drain=unit), "n2": told("n2")})
    assert list(found) == [DRAIN.code]
    assert found[DRAIN.code].startswith(said)


def test_a_gate_is_stuck_only_when_nobody_moves_the_vm() -> None:
    assert audited(BOTH, GATE) == {"HA510": "n1 still has the gate for n2 of a move of web that nobody is making"}
    moving = cib(claim.to_xml(Claim("web", "n1", "n2", "root@n1", 7, 990)).decode())
    assert audited(BOTH, GATE, raw=moving) == {}
    by_pacemaker = small.monitor(
        small.resource("ipmi-n1", on="n2"), small.resource("web", pending="Migrating"), small.resource("foreign")
    )
    assert audited(BOTH, GATE, monitor=by_pacemaker) == {}
    job = replace(small.facts("n1", runs=True), domains=(Domain("web", UUID, "running", "booted", job={"x": 1}),))
    assert audited(BOTH, {**GATE, "n1": replace(job, locks=(HeldLock(UUID, "PW", "0", "n2", 5),))}) == {}


def test_a_seat_whose_copy_still_waits_is_the_claims_affair_while_there_is_one() -> None:
    arrived = replace(small.facts("n2", runs=True, mode="CR"), domains=(Domain("web", UUID, "paused", "migrating"),))
    facts: Facts = {"n1": small.facts("n1"), "n2": arrived}
    assert list(audited(BOTH, facts)) == [audit_vms.STUCK.code]
    assert audited(BOTH, facts, raw=cib(claim.to_xml(Claim("web", "n1", "n2")).decode())) == {}


def half(state: str, reason: str, job: dict[str, int] | None = None) -> Facts:
    source = replace(small.facts("n1", runs=True), domains=(Domain("web", UUID, state, reason, job=job),))
    target = replace(small.facts("n2", runs=True, mode="CR"), domains=(Domain("web", UUID, "running", "migrated"),))
    return {"n1": replace(source, locks=(HeldLock(UUID, "PW", "0123456789abcdef", "n2", 5),)), "n2": target}


def test_a_source_that_waits_while_the_target_runs_is_named() -> None:
    """A34: one `virsh resume` on the source would make it run twice."""
    found = audited(BOTH, half("paused", "migrating"), raw=cib(claim.to_xml(Claim("web", "n1", "n2")).decode()))
    assert found == {"HA516": "web runs on n2, and waits paused after its migration on n1"}


@pytest.mark.parametrize("facts", [half("paused", "user"), half("paused", "migrating", {"data_total": 1})])
def test_a_migration_that_goes_on_and_a_pause_by_hand_are_something_else(facts: Facts) -> None:
    assert audit_vms.HALF_MOVED.code not in audited(BOTH, facts)


def test_a_vm_that_pacemaker_leaves_alone_is_named_with_the_way_back() -> None:
    web = small.resource("web", managed="false")
    others = (small.resource("ipmi-n1", on="n2"), small.resource("foreign"))
    assert list(audited(BOTH, monitor=small.monitor(web, *others))) == [audit_vms.UNMANAGED.code]
    blocked = small.resource("web", managed="false", blocked="true", failed="true")
    assert audited(BOTH, monitor=small.monitor(blocked, *others)) == {}, "the observation says that it is blocked"


# ---- barriers


def stands(raw: bytes, audits: Mapping[str, HostAudit | Unknown], facts: Facts = small.WELL) -> Barriers:
    seen: Observation = observe(raw, small.monitor(), facts)
    return barriers(seen.vms[0], managed.vm(etree.fromstring(raw), "web"), seen, audits)


FILE = disk(QEMU, kind="file", filesystem="gfs2", path="/vm/web.img")


@pytest.mark.parametrize(
    ("disks", "reach"),
    [
        (disk(QEMU), "node"),
        (FILE, "cluster"),
        ((replace(FILE[0], filesystem="ext4"),), "node"),
        ((replace(FILE[0], filesystem="nfs4"),), "cluster"),
        ((replace(FILE[0], filesystem="nfs"),), "node"),
        ((replace(FILE[0], shareable=True),), "none"),
        ((replace(FILE[0], users=(replace(QEMU, locked=False),)),), "none"),
        ((*FILE, *disk(QEMU)), "node"),
        (None, "unknown"),
    ],
)
def test_an_image_lock_counts_only_where_it_is_held_and_other_nodes_see_it(
    disks: tuple[HostDisk, ...] | None, reach: str
) -> None:
    assert stands(cib(), {**BOTH, "n1": told("n1", disks=disks)}).image_lock == reach


def leases(manager: str, directory: str = "", filesystem: str = "", **changed: Any) -> LeaseFacts:
    """A node whose libvirt is set up with nothing but this."""
    well = LeaseFacts({QEMU_CONF: {"lock_manager": manager}}, True, "", directory, filesystem, None, {}, (), None)
    return replace(well, **changed)


def leasing(first: LeaseFacts | None, second: LeaseFacts | None) -> Facts:
    one, two = small.WELL["n1"], small.WELL["n2"]
    assert isinstance(one, HostFacts)
    assert isinstance(two, HostFacts)
    return {"n1": replace(one, leases=first), "n2": replace(two, leases=second)}


@pytest.mark.parametrize(
    ("told_by", "reach"),
    [
        (leases("nop"), "none"),
        (leases("lockd"), "node"),
        (leases("lockd", "/var/lib/libvirt/lockd", "ext4"), "node"),
        (leases("lockd", "/leases", "gfs2"), "cluster"),
        (leases("sanlock", "/leases", "nfs4"), "cluster"),
        (None, "unknown"),
    ],
)
def test_a_lease_that_the_spec_does_not_ask_for_counts_where_all_nodes_have_it_in_one_place(
    told_by: LeaseFacts | None, reach: str
) -> None:
    assert stands(cib(), BOTH, leasing(told_by, told_by)).lease == reach


def test_a_lease_that_one_node_does_not_ask_for_protects_nothing() -> None:
    one = leasing(leases("lockd", "/leases", "gfs2"), leases("nop"))
    assert stands(cib(), BOTH, one).lease == "none"
    assert list(audited(BOTH, one)) == [audit.DRIVERS_DIFFER.code]
    two = leasing(leases("lockd", "/leases", "gfs2"), leases("lockd", "/other", "gfs2"))
    assert stands(cib(), BOTH, two).lease == "node"


ASKED = leases(
    "lockd",
    "/leases",
    "ext4",
    settings={path: {k: str(v) for k, v in names.items() if v is not None} for path, names in settings(LEASED).items()},
)


@pytest.mark.parametrize(
    ("first", "second", "reach"),
    [
        (ASKED, ASKED, "cluster"),
        (ASKED, leases("nop"), "none"),
        (replace(ASKED, in_use=False), ASKED, "none"),
        (replace(ASKED, bare={UUID: (DISK,)}), ASKED, "none"),
        (ASKED, replace(ASKED, bare={UUID: (DISK,)}), "cluster"),
    ],
)
def test_a_lease_that_the_spec_asks_for_counts_where_it_is_kept(
    first: LeaseFacts, second: LeaseFacts, reach: str
) -> None:
    raw = cib().replace(
        b"<template",
        b'<primitive id="hacluster-lockspace" class="ocf" provider="hacluster" type="lockspace">'
        b'<instance_attributes id="l"><nvpair id="l-d" name="lock_driver" value="lockd"/>'
        b'<nvpair id="l-p" name="lockspace_dir" value="/leases"/></instance_attributes></primitive><template',
        1,
    )
    assert stands(raw, BOTH, leasing(first, second)).lease == reach
    assert audit.DRIVERS_DIFFER.code not in audited(BOTH, leasing(first, second), raw=raw), "leases says it"


NO_LEASES = leasing(leases("nop"), leases("nop"))


def test_a_hand_over_by_libvirt_alone_needs_a_lock_under_every_disk() -> None:
    running = cib(handover="running")
    assert list(audited(BOTH, NO_LEASES, raw=running)) == [audit_vms.NO_SWITCH_OVER.code]
    assert audited(BOTH, NO_LEASES, raw=cib(handover="leased")) == {}, "the agent pauses where a lease is missing"
    assert audited({**BOTH, "n1": told("n1", disks=FILE)}, NO_LEASES, raw=running) == {}
    shared = leases("lockd", "/leases", "gfs2")
    assert audited(BOTH, leasing(shared, shared), raw=running) == {}
    unknown = audited({**BOTH, "n1": told("n1", disks=None)}, NO_LEASES, raw=running)
    assert audit_vms.NO_SWITCH_OVER.code not in unknown, "not known is not missing; that it is not known is told"


def test_heartbeats_agent_on_a_bare_disk_has_only_fencing_under_it() -> None:
    raw = cib().replace(
        b'<primitive id="web" template="t">',
        b'<primitive id="web" class="ocf" provider="heartbeat" type="VirtualDomain">',
    )
    facts = {name: replace(one, qemus=()) for name, one in NO_LEASES.items() if isinstance(one, HostFacts)}
    assert audit_vms.ONLY_FENCING.code in audited(BOTH, facts, raw=raw)


@pytest.mark.parametrize(
    ("disks", "words"), [(disk(QEMU), ("block",)), ((*FILE, *disk(QEMU)), ("block", "gfs2")), (None, ())]
)
def test_what_its_disks_are_is_told(disks: tuple[HostDisk, ...] | None, words: tuple[str, ...]) -> None:
    assert stands(cib(), {**BOTH, "n1": told("n1", disks=disks)}).storage == words


def test_a_run_lock_stands_only_where_every_hook_does() -> None:
    assert stands(cib(), BOTH).run_lock is True
    assert stands(cib(), BOTH, small.changed("n2", hook_ok=False)).run_lock is False
    assert stands(cib(), BOTH, {**small.WELL, "n1": small.facts("n1", runs=True, mode="CR")}).run_lock is False
