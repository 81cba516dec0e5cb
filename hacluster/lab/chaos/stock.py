"""The cluster as the guides make it: pcs, fence_ipmilan, ocf:heartbeat:VirtualDomain, and nothing of hacluster's.

The domain XML is copied to every node, each VM is a resource of its own with `allow-migrate`, and no libvirt hook nor
lock manager is configured, as in libvirt's defaults. `pcs resource move` is the move.
"""

from __future__ import annotations

from hacluster.lab.chaos.guarded import SET_UP
from hacluster.lab.chaos.scene import Scene
from hacluster.model import Directory
from hacluster.problems import Refused

CONFIGS = "/etc/pacemaker"
FORGET = "rm -rf /etc/libvirt/hooks/qemu.d /etc/libvirt/hooks/qemu; systemctl reload libvirtd"


class Stock(Scene):
    """VMs under ocf:heartbeat:VirtualDomain."""

    kind = "stock"

    def set_up(self) -> None:
        """The guides' commands, one after the other; nothing when they were typed before. Raises Refused."""
        self.refuse_other("heartbeat")
        if self.agent():
            return
        for node in self.nodes:
            self._do(node, ["sh", "-c", FORGET])
            for vm in self.vms.values():
                put = ["sh", "-c", f"mkdir -p {CONFIGS}; cat >{self.config(vm.name)}"]
                done = self.bed.exec(node, put, stdin=vm.domain_xml.decode())
                if done.returncode:
                    raise Refused(SET_UP(f"{node} did not take the domain XML.", where=node, said=done.stderr.strip()))
        first = self.nodes[0]
        for words in (*self._fencing(), *self._storage(), *self._resources()):
            self._do(first, ["pcs", *words])
        self._do(first, ["pcs", "property", "set", "stonith-enabled=true"])
        # As `pcs cluster setup` of pcs 0.11 leaves it; without it `pcs resource move` moves nothing.
        self._do(first, ["pcs", "resource", "defaults", "update", "resource-stickiness=1"])

    def _do(self, node: str, argv: list[str]) -> None:
        done = self.run(node, argv, 120)
        if done.returncode:
            said = (done.stdout + done.stderr).strip()
            raise Refused(SET_UP(f"{' '.join(argv[:5])} failed.", where=node, said=said))

    def _fencing(self) -> list[list[str]]:
        made = []
        for device in self.cluster.fence_devices:
            secret = device.secrets["password"].argument
            password = self.run(self.nodes[0], ["cat", secret]).stdout.strip()
            parameters = {**device.parameters, "password": password, "pcmk_host_list": " ".join(device.targets)}
            made.append(["stonith", "create", device.name, device.agent, *(f"{k}={v}" for k, v in parameters.items())])
        return made

    def _storage(self) -> list[list[str]]:
        return [
            ["resource", "create", f"{storage.name}-fs", "ocf:heartbeat:Filesystem", f"device={storage.source}",
             f"directory={storage.mount}", "fstype=none", "options=bind", "clone", "interleave=true"]
            for storage in self._directories()
        ]  # fmt: skip

    def _directories(self) -> list[Directory]:
        return [storage for storage in self.cluster.storages if isinstance(storage, Directory)]

    def _resources(self) -> list[list[str]]:
        made = []
        for vm in self.vms.values():
            made.append([
                "resource", "create", vm.name, "ocf:heartbeat:VirtualDomain", f"config={self.config(vm.name)}",
                "hypervisor=qemu:///system", "migration_transport=tcp", "migration_network_suffix=-link1",
                "op", "start", "timeout=120s", "stop", "timeout=180s", "monitor", "interval=10s", "timeout=30s",
                "migrate_to", "timeout=120s", "migrate_from", "timeout=120s", "meta", "allow-migrate=true",
            ])  # fmt: skip
            for storage in self._directories():
                if any(disk.storage == storage.name for disk in vm.disks):
                    clone = f"{storage.name}-fs-clone"
                    made.append(["constraint", "order", clone, "then", vm.name])
                    made.append(["constraint", "colocation", "add", vm.name, "with", clone])
        return made

    def move(self, vm: str, node: str) -> list[str]:
        """pcs's."""
        return ["pcs", "resource", "move", vm, node]

    def move_again(self, vm: str, node: str) -> list[str]:
        """pcs knows no such thing: what it left behind is cleared."""
        del node
        return ["pcs", "resource", "clear", vm]

    def power(self, vm: str, order: str) -> list[str]:
        """pcs's."""
        return ["pcs", "resource", {"start": "enable", "stop": "disable"}[order], vm, "--wait=60"]

    def config(self, vm: str) -> str:
        """A copy on each node."""
        return f"{CONFIGS}/{vm}.xml"

    def clean_up(self, vm: str) -> list[str]:
        """pcs's."""
        return ["pcs", "resource", "cleanup", vm]

    def rescue(self, vm: str) -> list[str]:
        """Only probes find a copy that Pacemaker does not know of."""
        return ["pcs", "resource", "refresh", vm]

    def doubts(self) -> dict[str, str]:
        """Nothing here looks any deeper."""
        return {}

    def explained(self, vm: str) -> str:
        """Failed actions of the VM or node in Pacemaker's status."""
        status = self.crm_mon()
        if status is None:
            return ""
        failures = [each for each in status.iterfind("failures/failure") if str(each.get("op_key")).startswith(vm)]
        return "; ".join(f"{each.get('op_key')} on {each.get('node')}: {each.get('exitreason')}" for each in failures)
