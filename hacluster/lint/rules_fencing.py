"""Rules of fencing: is there any, does it fence, and does it still work when its victim does not? Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hacluster.cib.durations import seconds
from hacluster.lint.facts import Resource, is_on
from hacluster.lint.subject import Subject
from hacluster.lint.words import listed, verb
from hacluster.problems import Problem, kind
from hacluster.spec.check_fencing import FAKE, STORAGE_ONLY

NO_FENCING = kind(
    "HA801",
    "Fencing is off, or there is no fence device",
    "A node that does not answer may still run its VMs. Without fencing Pacemaker either starts them a second time "
    "(stonith-enabled=false) or never again.",
    acceptable=True,
)
FAKE_FENCING = kind(
    "HA802",
    "A fence device that does not fence",
    "Fencing has to work when its victim hangs, is cut off or has crashed. A device that asks the victim itself "
    "(ssh), a human or nobody is believed by Pacemaker all the same, and the VMs are started a second time.",
    acceptable=True,
)
VICTIM_ALONE = kind(
    "HA803",
    "A fence device that only its own victim may run",
    "Location constraints keep the device off every node but the one that it kills. When that node is lost, nobody is "
    "left who may use it.",
    acceptable=True,
)
NOWHERE = kind(
    "HA804",
    "A fence device that is banned from every node",
    "Pacemaker uses a fence device only from a node where its location constraints allow it, running or not.",
    acceptable=True,
)
UNFENCED = kind(
    "HA805",
    "A node that no fence device fences",
    "When it is lost, Pacemaker waits for ever: its VMs are not recovered, and shared storage stands still for all.",
    acceptable=True,
)
STORAGE_FENCING = kind(
    "HA806",
    "Nodes with VMs are fenced by taking their storage away",
    "Reservations and switched-off fabric ports stop writes to those disks, and nothing else: the guests' vCPUs, "
    "memory and network go on, so a recovered VM exists twice on the network, and on any other disk. fence_scsi needs "
    "a watchdog beside it that resets the node.",
    severity="warning",
)
TIMEOUT = kind(
    "HA807",
    "Fencing is given up before it can be done",
    "A fence device that needs longer than stonith-timeout is reported as failed, although the node may die a moment "
    "later. Pacemaker then tries for ever, and nothing is recovered.",
    acceptable=True,
)
RACE = kind(
    "HA808",
    "Two nodes that shoot each other",
    "When the link between two nodes is cut, both fence at the same instant and both may die. priority-fencing-delay "
    "lets the node with the more important VMs shoot first; without priorities, a pcmk_delay_base on one device does.",
    severity="warning",
)
WAIT_FOR_ALL = kind(
    "HA809",
    "A node of two that boots alone fences the other and starts everything",
    "With two_node one vote is a majority. wait_for_all keeps a node that has just booted from acting until it has "
    "seen the other once; without it two nodes that boot with a broken link fence each other in turns.",
    severity="warning",
)
OWN_BOARD = kind(
    "HA818",
    "Nodes that can be fenced in one way only, by a board inside them",
    "A management board dies with its host's power supply. Fencing then fails for ever, and nothing is recovered until "
    "somebody confirms the death by hand. A second level (a power switch, SBD) goes on.",
    severity="warning",
)

_BOARDS = re.compile(r"stonith:(fence_(ipmilan|ipmilanplus|idrac|drac5?|ilo\w*|imm|rsa|rsb|redfish)|external/ipmi)")
_DEFAULT_STONITH_TIMEOUT = 60.0
_STATIC = ("static-list", "none")


def no_fencing(subject: Subject) -> Iterator[Problem]:
    """Fencing off, or on with nothing that could fence."""
    if not subject.facts.resources:
        return
    if not subject.fencing_enabled:
        yield NO_FENCING(
            "stonith-enabled is false: what a lost node ran is started elsewhere while it may still run",
            where="stonith-enabled",
            remedy="configure a fence device for every node, then: pcs property set stonith-enabled=true",
        )
    elif not subject.fence_devices and not subject.watchdog_fencing:
        yield NO_FENCING(
            "fencing is on, and no fence device is configured and enabled: what a lost node ran stays down for ever",
            where="resources",
            remedy="pcs stonith create NAME fence_ipmilan pcmk_host_list=NODE …",
        )


def fake(subject: Subject) -> Iterator[Problem]:
    """Agents that ask the victim, a human, or nobody."""
    for device in subject.fence_devices:
        agent = device.agent.removeprefix("stonith:")
        if agent in FAKE:
            yield FAKE_FENCING(
                f"{agent} does not fence: {FAKE[agent]}",
                where=device.id,
                remedy="use the host's BMC (fence_ipmilan, fence_redfish), a power switch or fence_sbd",
            )


def victims(device: Resource) -> frozenset[str] | None:
    """The nodes that a device says it fences; None when it finds out by itself, or fences any."""
    check = device.parameters.get("pcmk_host_check", "")
    listing = re.split(r"[\s,;]+", device.parameters.get("pcmk_host_list", ""))
    mapping = [part.partition(":")[0] for part in re.split(r"[\s;]+", device.parameters.get("pcmk_host_map", ""))]
    names = frozenset(name for name in (*listing, *mapping) if name)
    if (check and check not in _STATIC) or check == "none" or not names:
        return None
    return names


def places(subject: Subject) -> Iterator[Problem]:
    """Where location constraints let a device run, against whom it kills."""
    if not is_on(subject.facts.properties.get("symmetric-cluster", "true")):
        return  # what may run nowhere unless a constraint says so is not judged
    for device in subject.fence_devices:
        allowed = subject.relations.allowed(device.id)
        if allowed is None or len(subject.facts.nodes) < 2:
            continue
        if not allowed:
            yield NOWHERE(
                f"{device.id} may run on no node",
                where=device.id,
                remedy=f"pcs constraint location config resources {device.id}; then delete the bans that are wrong",
            )
        elif (killed := victims(device)) is not None and _is_one(killed, allowed):
            yield VICTIM_ALONE(
                f"{device.id} fences {listed(sorted(killed))} and may run on that node only",
                where=device.id,
                remedy=f"let it run everywhere else: pcs constraint location {device.id} avoids {next(iter(killed))}, "
                "and delete the constraints that keep it there",
            )


def _is_one(killed: frozenset[str], allowed: frozenset[str]) -> bool:
    """Whether both are one node, the same. Pacemaker does not tell upper from lower case in nodes' names."""
    return len(killed) == len(allowed) == 1 and {n.casefold() for n in killed} == {n.casefold() for n in allowed}


def unfenced(subject: Subject) -> Iterator[Problem]:
    """Nodes that neither a device nor a level names, where every device says whom it fences."""
    if not subject.fencing_enabled or not subject.fence_devices or subject.watchdog_fencing:
        return
    named: set[str] = set()
    for device in subject.fence_devices:
        killed = victims(device)
        if killed is None:
            return
        named |= {node.casefold() for node in killed}
    left = [node for node in subject.facts.nodes if node.casefold() not in named]
    if left and len(left) < len(subject.facts.nodes):
        yield UNFENCED(
            f"no fence device names {listed(left)}",
            where="fencing",
            remedy=f"pcs stonith create NAME AGENT pcmk_host_list={left[0]} …",
        )


def storage_only(subject: Subject) -> Iterator[Problem]:
    """No device that cuts power, beside those that cut storage."""
    devices = [device for device in subject.fence_devices if device.agent.removeprefix("stonith:") not in FAKE]
    cutting = [device for device in devices if device.agent.removeprefix("stonith:") in STORAGE_ONLY]
    if cutting and len(cutting) == len(devices) and subject.facts.vms and not subject.watchdog_fencing:
        names = [device.id for device in cutting]
        yield STORAGE_FENCING(
            f"{listed(names)} {verb(names, 'cuts', 'cut')} a node's disks off and {verb(names, 'lets', 'let')} its "
            "guests run on",
            where=names[0],
            remedy="add a device that cuts power, or a watchdog: fence_sbd, or sbd with stonith-watchdog-timeout",
        )


def timeouts(subject: Subject) -> Iterator[Problem]:
    """What a device says that it needs, against what it gets."""
    properties = subject.facts.properties
    given = seconds(properties.get("stonith-timeout", "")) or _DEFAULT_STONITH_TIMEOUT
    watchdog = seconds(properties.get("stonith-watchdog-timeout", "")) or 0.0
    if subject.fencing_enabled and watchdog >= given:
        yield TIMEOUT(
            f"a node's watchdog needs {watchdog:g} s (stonith-watchdog-timeout), and fencing ends after {given:g} s",
            where="stonith-timeout",
            remedy=f"pcs property set stonith-timeout={watchdog * 1.2 + 10:.0f}s",
        )
    for device in subject.fence_devices:
        parts = {
            name: value
            for name in ("power_timeout", "power_wait", "delay")
            if (value := seconds(device.parameters.get(name, ""))) is not None
        }
        own = [seconds(device.parameters.get(f"pcmk_{action}_timeout", "")) for action in ("reboot", "off")]
        bounds = [bound for bound in own if bound is not None] or [given]
        if parts and sum(parts.values()) >= min(bounds):
            needs = sum(parts.values())
            yield TIMEOUT(
                f"{device.id} may need {needs:g} s and is given {min(bounds):g} s",
                where=device.id,
                remedy=f"pcs property set stonith-timeout={needs * 1.2 + 10:.0f}s"
                if bounds == [given]
                else f"raise the device's own bound: pcs stonith update {device.id} pcmk_reboot_timeout=…",
                **parts,
            )


def race(subject: Subject) -> Iterator[Problem]:
    """Two nodes and nothing that makes one of them slower."""
    facts = subject.facts
    if len(facts.nodes) != 2 or not subject.fencing_enabled or not subject.fence_devices:
        return
    if (seconds(facts.properties.get("priority-fencing-delay", "")) or 0) > 0:
        return
    if any(
        name in device.parameters
        for device in subject.fence_devices
        for name in ("pcmk_delay_max", "pcmk_delay_base", "delay")
    ) or any("sbd" in device.agent for device in subject.fence_devices):
        return
    if subject.corosync is not None and re.search(r"^\s*device\s*\{", subject.corosync, re.MULTILINE):
        return  # the quorum device gives one of them the majority
    yield RACE(
        f"nothing decides whether {facts.nodes[0]} or {facts.nodes[1]} shoots first",
        where="priority-fencing-delay",
        remedy="pcs property set priority-fencing-delay=15s, and give VMs a priority; or add a quorum device",
    )


def wait_for_all(subject: Subject) -> Iterator[Problem]:
    """Corosync's two_node with wait_for_all switched off."""
    text = re.sub(r"#.*", "", subject.corosync or "")
    if re.search(r"\btwo_node:\s*1\b", text) and re.search(r"\bwait_for_all:\s*0\b", text):
        yield WAIT_FOR_ALL(
            "wait_for_all is switched off in corosync.conf",
            where="corosync.conf",
            remedy="pcs cluster stop --all; pcs quorum update wait_for_all=1; pcs cluster start --all",
        )


def own_board(subject: Subject) -> Iterator[Problem]:
    """Only boards in the hosts themselves, and no other way."""
    devices = [device for device in subject.fence_devices if device.agent.removeprefix("stonith:") not in FAKE]
    if not subject.facts.vms or not devices or subject.watchdog_fencing:
        return
    if all(_BOARDS.fullmatch(device.agent) for device in devices):
        names = [device.id for device in devices]
        yield OWN_BOARD(
            f"{listed(names)} {verb(names, 'is', 'are')} the only way to fence, and {verb(names, 'dies', 'die')} with "
            "the host's power",
            where=names[0],
            remedy="add a second level: pcs stonith create … fence_sbd, then pcs stonith level add 2 NODE NAME",
        )


RULES = (
    no_fencing, fake, places, unfenced, storage_only, timeouts, race, wait_for_all, own_board,
)  # fmt: skip
