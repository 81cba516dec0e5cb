"""The bed of virtual machines: brought up bare or as a cluster, set back to that in seconds, taken down entirely.

There is one on a machine. Like the lab of namespaces it lives below one run directory and in one cgroup, by which it
is found and removed, whatever became of the process that made it. Its image and snapshots lie in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hacluster.lab import host, teardown
from hacluster.lab.alone import alone
from hacluster.lab.layout import CGROUP, RUNS
from hacluster.lab.machines import accelerator, channel, image, network, power, qemu, snapshot
from hacluster.lab.machines.description import NAME, Machine, load
from hacluster.lab.machines.guest import Guest
from hacluster.lab.machines.packages import COMMANDS
from hacluster.lab.power import ENVIRONMENT
from hacluster.problems import Problem, Refused, kind

NO_BED = kind("HA752", "There are no virtual machines", "The command needs the bed of virtual machines to be up.")
ALREADY = kind(
    "HA753",
    "The virtual machines are up in another state",
    "A bed is set up bare or as one cluster; it goes from one to the other only by being taken down.",
)
NO_MACHINE = kind("HA754", "There is no such machine", "The machines are those of vagrant/machines.json.")
NOT_UP = kind(
    "HA755", "A machine did not come up", "Each machine must boot, and its agent answer, within the deadline."
)
NO_AGENT = kind("HA756", "A machine does not answer", "Its power is off, its kernel hangs, or its agent is gone.")

BOOTS_WITHIN = 900.0
BARE = "bare"
Report = Callable[[str], None]


def _silent(line: str) -> None:
    del line


class Machines:
    """The bed, up or not. What it knows of a running one it reads from the run directory."""

    def __init__(self) -> None:
        self.description = load()
        self.run = RUNS / NAME

    # ---- the whole bed

    def up(self, report: Report = _silent, state: str = BARE, make: Callable[[Report], None] | None = None) -> None:
        """Bring the machines up: bare (Debian, a network, shared disks, BMCs, ssh), or as what `make` turns them into.

        Whatever has a snapshot is taken up from it; what has none is made, and put aside. `state` names what `make`
        makes. Raises Refused.
        """
        started = time.monotonic()

        def step(line: str) -> None:
            report(f"{time.monotonic() - started:6.1f} s  {line}")

        if problems := findings():
            raise Refused(problems)
        with alone(NAME):
            if self.is_up():
                self._same(state)
                step("already up")
                return
            teardown.remove(NAME, _silent)
            try:
                self._build(step)
                if not self._take_up(state, step):
                    if make is None or not self._take_up(BARE, step):
                        self._boot(step)
                        self._put_aside(BARE, step)
                    if make is not None:
                        make(step)
                        self._put_aside(state, step)
            except BaseException:
                teardown.remove(NAME, _silent)
                raise
            step("up")

    def _same(self, state: str) -> None:
        if self.state() != state:
            raise Refused(
                ALREADY(f"The virtual machines are up as {self.state()}.", where=NAME, remedy="hactl lab down --vm")
            )

    def _take_up(self, state: str, step: Report) -> bool:
        """Take a state up from its snapshot; False when there is none."""
        place = self.snapshot(state)
        if not snapshot.exists(place):
            return False
        snapshot.restore(self.run, self.description, place)
        self._taken_up()
        self._become(state)
        step(f"machines are as they were saved: {state}")
        return True

    def _put_aside(self, state: str, step: Report) -> None:
        snapshot.save(self.run, self.description, self.snapshot(state))
        self._become(state)
        step(f"snapshot: {state}")

    def down(self, report: Report = _silent) -> list[str]:
        """Remove the bed, whatever state it is in, and return what is left over. The cache stays."""
        with alone(NAME):
            teardown.remove(NAME, report)
        return teardown.leftovers(NAME)

    def is_up(self) -> bool:
        """True when the bed was built to its end. Its machines may be on or off."""
        return (self.run / "state").exists()

    def state(self) -> str:
        """What the machines were set up as: `bare`, or the name of a cluster. Raises Refused."""
        self._needed()
        return (self.run / "state").read_text(encoding="utf-8")

    def _become(self, state: str) -> None:
        self._known_hosts()
        (self.run / "state").write_text(state, encoding="utf-8")

    def snapshot(self, state: str) -> Path:
        """Where the snapshot of that state lies. It fits only the QEMU, the image and the description it came from."""
        bed = self._bed()
        made_from = repr((bed["qemu"], self.description, bed["accelerator"]))
        for name in ("qemu.py", "network.py"):
            made_from += (Path(__file__).parent / name).read_text(encoding="utf-8")
        mark = hashlib.sha256(made_from.encode()).hexdigest()[:12]
        return Path(str(bed["image"]), "snapshots", f"{state}-{mark}")

    def restore(self) -> None:
        """Set all machines back to the snapshot of the state that they were set up as. Raises Refused."""
        for machine in self.description.machines:
            self.freeze_bmc(machine.name, False)
        self._take_up(self.state(), _silent)

    def _bed(self) -> dict[str, object]:
        return dict(json.loads((self.run / "bed.json").read_text(encoding="utf-8")))

    def _needed(self) -> None:
        if os.geteuid() != 0:
            raise Refused(
                host.NOT_ROOT("Only root can look at a lab or change it.", remedy="sudo hactl lab status --vm")
            )
        if not self.is_up():
            raise Refused(NO_BED("The virtual machines are down.", where=NAME, remedy="hactl lab up --vm"))

    def _build(self, step: Report) -> None:
        place = image.ready(step)
        cgroups = host.cgroup2()
        assert cgroups is not None
        cgroup = cgroups / CGROUP / NAME
        self.run.mkdir(parents=True, mode=0o755)
        host.run(["mount", "-t", "tmpfs", "-o", "size=60%,mode=755", "hacluster-lab", self.run])
        host.run(["mount", "--make-private", self.run])
        chosen = accelerator.choose()
        step("KVM works" if chosen == accelerator.KVM else "no KVM that works: QEMU emulates the machines")
        bed = {
            "cgroup": str(cgroup),
            "image": str(place),
            "accelerator": chosen,
            "qemu": host.run(["qemu-system-x86_64", "--version"]).splitlines()[0],
        }
        (self.run / "bed.json").write_text(json.dumps(bed, indent=1), encoding="utf-8")
        for disk in self.description.shared_disks:
            with (self.run / f"{disk.serial}.img").open("wb") as file:
                file.truncate(disk.mib << 20)
        network.build(self.run, self.description)
        shutil.copy(place / "id", self.run / "id")
        for machine in self.description.machines:
            own = self.run / "nodes" / machine.name
            own.mkdir(parents=True)
            words = qemu.argv(machine, self.description, place, self.run, chosen)
            (own / "argv.json").write_text(json.dumps(words, indent=1), encoding="utf-8")
            overlay: list[str | Path] = ["-f", "qcow2", "-b", place / "root.ext4", "-F", "raw", own / "root.qcow2"]
            host.run(["qemu-img", "create", "-q", *overlay])
            network.start_bmc(self.run, cgroup, machine, self.description)
        self._ssh_config()

    def _boot(self, step: Report) -> None:
        for machine in self.description.machines:
            self._supply(machine.name).on()
        until = time.monotonic() + BOOTS_WITHIN
        for machine in self.description.machines:
            self._wait_booted(machine, until)
        step("machines have booted")

    def _wait_booted(self, machine: Machine, until: float) -> None:
        guest = self.guest(machine.name)
        # A unit that failed makes a system "degraded" (exit 1 as well as "starting"), which is not this bed's business.
        asked = ["sh", "-c", "systemctl is-system-running | grep -qE 'running|degraded' && systemctl is-active ssh"]
        while time.monotonic() < until:
            try:
                if guest.run(asked, timeout=30).returncode == 0:
                    return
            except (channel.NoAnswer, channel.Declined):
                pass
            time.sleep(0.5)
        raise Refused(
            NOT_UP(
                f"{machine.name} did not boot within {BOOTS_WITHIN:.0f} s.",
                where=machine.name,
                console=self._console(machine.name),
            )
        )

    def _console(self, node: str) -> str:
        try:
            text = (self.run / "nodes" / node / "console.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "nothing"
        return " / ".join(text.strip().splitlines()[-3:]) or "nothing"

    def _taken_up(self) -> None:
        """After a restore: wait for the agents, and tell the machines what time it is."""
        until = time.monotonic() + BOOTS_WITHIN
        for machine in self.description.machines:
            guest = self.guest(machine.name)
            while not guest.answers():
                if time.monotonic() > until:
                    raise Refused(NOT_UP(f"{machine.name} was restored and does not answer.", where=machine.name))
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda machine: self.guest(machine.name).set_clock(), self.description.machines))

    def _known_hosts(self) -> None:
        lines = ""
        for machine in self.description.machines:
            key = self.guest(machine.name).run(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).stdout.strip()
            lines += f"{','.join((machine.name, *machine.addresses))} {key}\n"
        (self.run / "known_hosts").write_text(lines, encoding="ascii")

    def _ssh_config(self) -> None:
        text = ""
        for machine in self.description.machines:
            text += f"Host {machine.name}\n  HostName {machine.addresses[0]}\n"
        text += (
            f"Host *\n  User root\n  IdentityFile {self.run}/id\n  IdentitiesOnly yes\n  BatchMode yes\n"
            f"  UserKnownHostsFile {self.run}/known_hosts\n  StrictHostKeyChecking yes\n  ConnectTimeout 20\n"
        )
        (self.run / "ssh_config").write_text(text, encoding="utf-8")

    # ---- one machine

    def machine(self, node: str) -> Machine:
        """The machine of that name. Raises Refused."""
        self._needed()
        for machine in self.description.machines:
            if machine.name == node:
                return machine
        names = ", ".join(machine.name for machine in self.description.machines)
        raise Refused(
            NO_MACHINE(f"There is no machine {node}.", where=node, remedy="hactl lab status --vm", machines=names)
        )

    def _supply(self, node: str) -> power.Supply:
        return power.Supply(self.run, node)

    def guest(self, node: str) -> Guest:
        """What runs commands in a machine, without its network."""
        return Guest(self.run / "nodes" / node / "agent")

    def exec(
        self, node: str, argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a machine to its end, killed after `timeout` seconds (124 or 137). Raises Refused."""
        machine = self.machine(node)
        try:
            return self.guest(machine.name).run(argv, stdin=stdin, timeout=timeout)
        except (channel.NoAnswer, channel.Declined) as problem:
            raise Refused(NO_AGENT(str(problem), where=node, remedy=f"hactl lab power status {node} --vm")) from problem

    def ssh(self, node: str, argv: Sequence[str] = (), options: Sequence[str] = ()) -> list[str]:
        """This machine's command that enters a machine by ssh and runs `argv` there, or a shell. Raises Refused."""
        machine = self.machine(node)
        remote = [shlex.join(argv)] if argv else []
        space = f"--net={network.namespace(self.run)}"
        return ["nsenter", space, "--", "ssh", "-F", f"{self.run}/ssh_config", *options, machine.name, *remote]

    def power(self, node: str, order: str) -> str:
        """`on`, `off`, `cycle`, `freeze`, `thaw` or `status`; the machine's power afterwards: on, off or frozen."""
        supply = self._supply(self.machine(node).name)
        with supply.held():
            if order in ("off", "cycle"):
                supply.off()
            if order in ("on", "cycle"):
                supply.on()
            if order in ("freeze", "thaw") and supply.is_on():
                power.freeze(supply.cgroup, order == "freeze")
        return supply.status()

    def bmc_answers(self, node: str) -> bool:
        """Whether the machine's BMC runs and is not frozen."""
        group = network.bmc_cgroup(Path(str(self._bed()["cgroup"])), self.machine(node).name)
        return power.is_populated(group) and not power.is_frozen(group)

    def freeze_bmc(self, node: str, frozen: bool) -> None:
        """Make a machine's BMC unreachable, or let it answer again. Raises Refused."""
        group = network.bmc_cgroup(Path(str(self._bed()["cgroup"])), self.machine(node).name)
        power.freeze(group, frozen)


def findings() -> list[Problem]:
    """Everything that keeps this machine from running the bed; empty when it can."""
    path = ENVIRONMENT["PATH"]
    missing = sorted({package for command, package in COMMANDS.items() if shutil.which(command, path=path) is None})
    found = [problem for problem in host.findings() if problem.code != host.MISSING.code]
    if missing:
        found.append(
            host.MISSING(
                f"Not installed: {', '.join(missing)}.",
                where="this machine",
                remedy=f"apt-get install --no-install-recommends {' '.join(missing)}",
            )
        )
    return found
