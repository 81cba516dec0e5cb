"""This agent and ocf:heartbeat:VirtualDomain side by side: what each answers in every state that a VM can be in.

What is expected of both stands in agents_compared.py. They are run by hand, as Pacemaker's executor runs them, on
guests of the same kind; Pacemaker itself has nothing configured.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import MappingProxyType

import pytest

from hacluster.lab.bed import Bed
from hacluster.model import Vm

from .agents_compared import CASES, KILLED, LIVES, TIMEOUT, Case, operations
from .conftest import cluster, fresh_lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

HOMES = {"ours": "n1", "theirs": "n3"}
"""Where each agent has its guest: what is done to one node's libvirtd is not done to the other agent's."""
TARGET = "n2"
NOTHING: Mapping[str, str] = MappingProxyType({})


# --- the stage


class Stage:
    """One agent with one guest. `name` is the VM, `uuid` what its QEMU is known by."""

    def __init__(self, bed: Bed, home: str, vm: Vm, agent: str, environment: dict[str, str]) -> None:
        self.bed = bed
        self.home = home
        self.name, self.uuid, self.agent = vm.name, vm.uuid, agent
        self.config = environment["OCF_RESKEY_config"]
        self.xml = crashable(vm.domain_xml.decode())
        self._environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C",
            "OCF_ROOT": "/usr/lib/ocf",
            "OCF_RESOURCE_INSTANCE": self.name,
            "OCF_RESKEY_hypervisor": "qemu:///system",
            "OCF_RESKEY_migration_transport": "tcp",
            **environment,
        }

    def run(self, script: str, node: str = "", timeout: float = 60) -> tuple[int, str]:
        done = self.bed.exec(node or self.home, ["bash", "-c", script], timeout=timeout)
        return done.returncode, done.stdout + done.stderr

    def ok(self, script: str, node: str = "") -> str:
        code, text = self.run(script, node)
        assert code == 0, text
        return text

    def command(self, action: str, more: Mapping[str, str] = NOTHING, seconds: int = TIMEOUT) -> str:
        """The agent as a shell command, killed with its children when its time is over. `more` are parameters."""
        parameters = {"CRM_meta_timeout": str(seconds * 1000), **more}
        given = {**self._environment, **{f"OCF_RESKEY_{name}": value for name, value in parameters.items()}}
        words = " ".join(f"{name}='{value}'" for name, value in given.items())
        return f"timeout -s KILL {seconds} env -i {words} {self.agent} {action}"

    def answer(self, action: str, node: str = "") -> str:
        """How an operation ended, in the words of the table; what it printed is shown when a test fails."""
        recurring = {"CRM_meta_interval": "10000"} if action == "monitor" else {}
        verb = "monitor" if action == "probe" else action
        given = {"CRM_meta_on_node": node or self.home, **recurring}
        code, text = self.run(self.command(verb, given), node)
        print(f"{self.name}: {action}: {code}\n{text}")
        return (KILLED if code in (137, -9) else str(code)) + (LIVES if action == "stop" and self.pids(node) else "")

    def pids(self, node: str = "") -> list[int]:
        """The QEMUs of this VM on a node."""
        return [int(pid) for pid in self.run(f"pgrep -f '^[^ ]*qemu.* -uuid {self.uuid}'", node)[1].split()]

    def become(self, xml: str) -> None:
        """Have another domain XML."""
        self.xml = xml
        self._environment["OCF_RESKEY_xml_sha256"] = hashlib.sha256(xml.encode()).hexdigest()

    def begin(self) -> None:
        """Its domain XML on both nodes, and the guest running at home."""
        for node in (self.home, TARGET):
            self.put(self.xml, node)
        self.ok(self.command("start"))
        assert len(self.pids()) == 1

    def put(self, xml: str, node: str = "") -> None:
        script = f"mkdir -p $(dirname {self.config}) && cat > {self.config}"
        assert self.bed.exec(node or self.home, ["sh", "-c", script], stdin=xml).returncode == 0

    def end(self) -> None:
        """Nothing of the guest is left on any node, whatever was done to it, and libvirtd is up."""
        for node in (self.home, TARGET):
            self.run("pkill -KILL -f '[V]irtualDomain migrate_to'; pkill -KILL -x virsh")
            self.run("pkill -CONT -x libvirtd; systemctl reset-failed; systemctl start libvirtd", node)
            self.run(f"virsh -q destroy {self.name}2", node)
            for pid in self.pids(node):
                self.run(f"kill -KILL {pid}", node)
            until(lambda node=node: not self.pids(node))  # type: ignore[misc]  # the loop's own node
            self.put(self.xml, node)
            self.ok(self.command("stop"), node)


def crashable(xml: str) -> str:
    """The domain with a device by which a guest says that it has panicked, and kept as it is then."""
    kept = xml.replace("<on_crash>destroy</on_crash>", "<on_crash>preserve</on_crash>")
    made = kept.replace("</devices>", "<panic model='isa'/></devices>")
    assert kept != xml
    return made


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


# --- the states

SERVICE = "libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd-tcp.socket"


def _state(stage: Stage, reason: str) -> bool:
    return reason in stage.run(f"virsh -q domstate --reason {stage.name}")[1]


def suspend(stage: Stage) -> None:
    stage.ok(f"virsh suspend {stage.name}")


def crash(stage: Stage) -> None:
    """As the guest's kernel does it: a byte to the panic device."""
    stage.ok(f"virsh qemu-monitor-command --hmp {stage.name} 'o /b 0x505 1'")
    until(lambda: _state(stage, "crashed"))


def shut_off(stage: Stage) -> None:
    stage.ok(f"virsh destroy {stage.name}")


def lose_config(stage: Stage) -> None:
    stage.ok(f"rm {stage.config}")


def one_line(stage: Stage) -> None:
    stage.put(" ".join(stage.xml.split()) + "\n")


def libvirtd_down(stage: Stage) -> None:
    stage.ok(f"systemctl stop {SERVICE} 2>&1")


def libvirtd_hung(stage: Stage) -> None:
    stage.ok("pkill -STOP -x libvirtd")


def libvirtd_restarting(stage: Stage) -> None:
    stage.ok("systemctl restart libvirtd >/dev/null 2>&1 &")


def kill_qemu(stage: Stage) -> None:
    (pid,) = stage.pids()
    stage.ok(f"kill -KILL {pid}")
    until(lambda: not stage.pids())


def seen_to_end(stage: Stage) -> None:
    """libvirt takes a moment to notice; until then heartbeat's agent is told that it runs."""
    until(lambda: stage.run(f"virsh -q list --name | grep -qx {stage.name}")[0] != 0)


def stop_qemu(stage: Stage) -> None:
    (pid,) = stage.pids()
    stage.ok(f"kill -STOP {pid}")


def namesake(stage: Stage) -> None:
    """Another domain, without a disk, whose name begins with this one's."""
    xml = (
        f"<domain type='qemu'><name>{stage.name}2</name><memory unit='MiB'>4</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
    )
    script = f"cat > /tmp/{stage.name}2.xml && virsh -q create /tmp/{stage.name}2.xml"
    done = stage.bed.exec(stage.home, ["sh", "-c", script], stdin=xml)
    assert done.returncode == 0, done.stderr


def leave(stage: Stage) -> None:
    """A migration that stands still between its preparation and its copy: its client is stopped there.

    libvirt's source has begun and its target has a QEMU that waits for memory; nothing of this ends by itself.
    """
    status = f"/run/libvirt/qemu/{stage.name}.xml"
    move = stage.command("migrate_to", {"CRM_meta_migrate_target": TARGET}, seconds=120)
    # A unit of its own: the kernel hangs up and continues stopped processes that a dying shell leaves behind.
    stage.ok(f"systemd-run --quiet --collect {move}")
    stop = f"until grep -q 'migration out' {status}; do :; done; sleep 0.05; pkill -STOP -f '^virsh.* migrate '"
    stage.ok(f'timeout 20 bash -c "{stop}"')
    until(lambda: stage.run(f"grep -q 'migration in' {status}", TARGET)[0] == 0)


PREPARE: dict[str, tuple[Callable[[Stage], None], ...]] = {
    "running": (),
    "paused by an operator": (suspend,),
    "crashed, kept by on_crash=preserve": (crash,),
    "shut off": (shut_off,),
    "running, its domain XML gone": (lose_config,),
    "not running, its domain XML gone": (shut_off, lose_config),
    "running, its domain XML on one line": (one_line,),
    "running, libvirtd down": (libvirtd_down,),
    "not running, libvirtd down": (shut_off, libvirtd_down),
    "running, libvirtd hung": (libvirtd_hung,),
    "not running, libvirtd hung": (shut_off, libvirtd_hung),
    "running, libvirtd restarting": (libvirtd_restarting,),
    "QEMU killed": (kill_qemu, seen_to_end),
    "QEMU killed while libvirtd was down": (libvirtd_down, kill_qemu),
    "QEMU stopped by a signal": (stop_qemu,),
    "not running, and one whose name begins with its name runs": (shut_off, namesake),
    "the same with libvirtd down": (shut_off, namesake, libvirtd_down),
    "migrating away": (leave,),
    "migrating here": (leave,),
}


# --- the tests


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A lab of its own, without any resource: the run-locks' lockspace is joined by hand."""
    yield from fresh_lab("da")


@pytest.fixture(scope="module")
def stages(bed: Bed) -> dict[str, Stage]:
    return make_stages(bed)


def make_stages(bed: Bed) -> dict[str, Stage]:
    ours, theirs = (next(vm for vm in cluster().vms if vm.name == name) for name in ("web", "db"))
    hosts = {node.name: str(node.migration_host) for node in cluster().nodes}
    for node in bed.nodes():
        script = (
            f"OCF_ROOT=/usr/lib/ocf OCF_RESKEY_CRM_meta_on_node={node} "
            "/usr/lib/ocf/resource.d/hacluster/lockspace start"
        )
        assert bed.exec(node, ["sh", "-c", script], timeout=60).returncode == 0
    stages = {
        "ours": Stage(
            bed,
            HOMES["ours"],
            ours,
            "/usr/lib/ocf/resource.d/hacluster/VirtualDomain",
            {
                "OCF_RESKEY_uuid": ours.uuid,
                "OCF_RESKEY_config": "/etc/hacluster/domains/web.0123456789abcdef.xml",
                "OCF_RESKEY_xml_sha256": hashlib.sha256(crashable(ours.domain_xml.decode()).encode()).hexdigest(),
                "OCF_RESKEY_stop_budget": "5",
                "OCF_RESKEY_migration_hosts": " ".join(f"{node}={host}" for node, host in hosts.items()),
            },
        ),
        "theirs": Stage(
            bed,
            HOMES["theirs"],
            theirs,
            "/usr/lib/ocf/resource.d/heartbeat/VirtualDomain",
            {
                "OCF_RESKEY_config": "/etc/stock/db.xml",
                "OCF_RESKEY_migration_network_suffix": "-link1",
                **{f"OCF_RESKEY_autoset_utilization_{what}": "false" for what in ("cpu", "host_memory", "hv_memory")},
            },
        ),
    }
    return stages


@contextmanager
def staged(stage: Stage, case: Case) -> Iterator[None]:
    stage.begin()
    try:
        for step in PREPARE[case.state]:
            step(stage)
        yield
    finally:
        stage.end()


def measure(stage: Stage, case: Case) -> dict[str, str]:
    """What the agent answers, operation by operation: each finds what the one before left."""
    found = {}
    with staged(stage, case):
        node = TARGET if case.state == "migrating here" else stage.home
        for operation in operations(case):
            if libvirtd_restarting in PREPARE[case.state]:
                stage.ok("systemctl reset-failed")
                libvirtd_restarting(stage)
            found[operation] = stage.answer(operation, node)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.state.replace(" ", "-"))
def test_both_agents_answer_as_the_table_says(stages: dict[str, Stage], case: Case) -> None:
    told = operations(case).items()
    expected = {agent: {name: getattr(answers, agent) for name, answers in told} for agent in stages}
    with ThreadPoolExecutor() as both_at_once:
        found = both_at_once.map(lambda stage: measure(stage, case), stages.values())
        assert dict(zip(stages, found, strict=True)) == expected
