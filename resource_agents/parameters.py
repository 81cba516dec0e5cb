"""Is what the agent is given something it can carry out? Asked at start and by validate-all, never at stop or monitor.

heartbeat's VirtualDomain has more parameters than this agent. Each that is not taken is refused with the reason, since
one that is silently ignored leaves the admin with a VM that does not do what its configuration says.
"""

from __future__ import annotations

from resource_agents.codes import ERR_CONFIGURED, ERR_INSTALLED, Failed
from resource_agents.vm import TRUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.vm import Vm

_UTILIZATION = "the agent writes nothing into the configuration; Pacemaker's utilization attributes are set with pcs"
_IMAGE = "the agent never makes or writes a disk image; another copy of the VM may have it in use"
_ADDRESS = "the target is asked afterwards under the same address whether the VM is there; migration_hosts gives it"
_DOMAIN = "the domain XML is the one whose checksum the CIB names; a change goes through the spec and hactl apply"

REFUSED = {
    "autoset_utilization_cpu": _UTILIZATION,
    "autoset_utilization_hv_memory": _UTILIZATION,
    "autoset_utilization_host_memory": _UTILIZATION,
    "backingfile": _IMAGE,
    "copyindirs": _IMAGE,
    "migrate_options": "free options such as --unsafe or --p2p would take away what keeps the VM from running twice; "
    "migration_speed, migration_downtime, migration_parallel, auto_converge and post_copy say how it is moved",
    "migrateport": "libvirt chooses a free port for each move; a fixed one would fail two moves at a time",
    "migrateuri": _ADDRESS,
    "migration_network_suffix": "migration_hosts names each node's host for migrations (migration_host in the spec)",
    "migration_user": "over ssh libvirt is reached as root, as on the node itself",
    "remoteuri": _ADDRESS,
    "save_config_on_stop": _DOMAIN,
    "snapshot": "a saved memory fits the disk of its own moment only, and at the next start nobody can prove that the "
    "disk has not changed since",
    "start_resources": "the storage and bridges that a VM needs are the cluster's resources; it starts after them",
    "stateless": _IMAGE,
    "sync_config_on_stop": _DOMAIN,
    "unset_utilization_cpu": _UTILIZATION,
    "unset_utilization_hv_memory": _UTILIZATION,
    "unset_utilization_host_memory": _UTILIZATION,
}
"""heartbeat's parameters that this agent does not take, and why. One that is set to a false value asks for nothing."""

FALSE = ("", "0", "false", "no", "off")

_CHOICES = {"handover": ("paused", "running", "leased"), "migration_transport": ("ssh", "tcp", "tls")}
_FLAGS = ("auto_converge", "force_stop", "post_copy")
_NUMBERS = ("migration_downtime", "migration_parallel", "migration_speed", "migration_timeout", "stop_budget")
MODES = ("acpi", "agent")
"""Ways of virsh shutdown that QEMU has; `acpi,agent` tries one after the other."""


def check(vm: Vm) -> None:
    """Raise Failed with everything that is wrong: on every node (ERR_CONFIGURED), or else here (ERR_INSTALLED)."""
    if found := [*_refused(vm), *_malformed(vm), *_contradictions(vm)]:
        raise Failed("; ".join(found), ERR_CONFIGURED)
    from os import X_OK, access

    if missing := [script for script in vm.monitor_scripts if not access(script, X_OK)]:
        raise Failed(f"monitor_scripts: {missing[0]} cannot be executed on {vm.node}", ERR_INSTALLED)


def _refused(vm: Vm) -> list[str]:
    return [f"{name} is not taken: {reason}" for name, reason in REFUSED.items() if vm.given(name).lower() not in FALSE]


def _malformed(vm: Vm) -> list[str]:
    found = [
        f"{name}={value} is none of {', '.join(choices)}"
        for name, choices in _CHOICES.items()
        if (value := vm.given(name)) and value not in choices
    ]
    found += [
        f"{name}={vm.given(name)} is neither true nor false"
        for name in _FLAGS
        if vm.given(name).lower() not in TRUE + FALSE
    ]
    found += [
        f"{name}={value} is not a whole number"
        for name in _NUMBERS
        if (value := vm.given(name)) and not (value.removesuffix("s").isascii() and value.removesuffix("s").isdigit())
    ]
    if not vm.config.startswith("/"):
        found.append(f"config={vm.config} is not an absolute path")
    if vm.xml_sha256.strip("0123456789abcdefABCDEF") or len(vm.xml_sha256) != 64:
        found.append(f"xml_sha256={vm.xml_sha256} is not a SHA-256 checksum in hexadecimal")
    if not vm.shutdown_mode or set(vm.shutdown_mode.split(",")) - {*MODES}:
        found.append(f"shutdown_mode={vm.shutdown_mode} is none of {', '.join(MODES)}")
    found += [f"monitor_scripts: {one} is not an absolute path" for one in vm.monitor_scripts if one[:1] != "/"]
    return found


def _contradictions(vm: Vm) -> list[str]:
    found = []
    if vm.post_copy and vm.handover == "paused":
        found.append(
            "post_copy lets the guest run on the target before the source has ended, so it needs handover=running or "
            "leased, and that a lock of the disks which covers the switch-over; move it with auto_converge instead"
        )
    if vm.post_copy and vm.parallel:
        found.append("post_copy and migration_parallel exclude each other: QEMU fetches pages over one connection")
    return found
