"""virsh, as agents, probe and people type it on a node.

It speaks as the real one does, as far as somebody reads what it says. Another node's URI goes over the network, and
finds nobody where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping

from hacluster.sim.daemon import FOR_EVER, LibvirtError
from hacluster.sim.definitions import Definitions
from hacluster.sim.libvirt import ANSWER, Domain, Libvirt
from hacluster.sim.migration import KEEPALIVE, Line, Migration
from hacluster.sim.timeline import Process, Timeline


class Virsh:
    """The client. `hosts` maps the names and addresses that URIs use to node names."""

    def __init__(
        self, timeline: Timeline, daemons: Mapping[str, Libvirt], hosts: Mapping[str, str], line: Line
    ) -> None:
        self._timeline = timeline
        self._daemons = daemons
        self._hosts = hosts
        self._line = line
        self.kept: dict[str, Definitions] = {}
        """By node; the world fills it."""

    def __call__(self, argv: list[str], process: Process) -> int:
        """Run it; its exit code. What it prints goes to the process."""
        try:
            return self._virsh(argv, process)
        except LibvirtError as problem:
            process.err.append(f"error: {problem}\n")
            return 1

    def _virsh(self, argv: list[str], process: Process) -> int:
        daemon = self._daemons[process.machine.name]
        while argv and argv[0].startswith("-"):
            flag = argv.pop(0)
            if flag in ("-c", "--connect"):
                daemon = self._daemon(argv.pop(0), process)
        command, *arguments = argv
        if command == "migrate":
            return self._migrate(daemon, arguments, process)
        if "; echo " in command:  # the probe asks many things at once; each line is a command, "echo" parts them
            for one in command.split("; "):
                self._one(daemon, one.split(), process)
            return 0
        return self._one(daemon, argv, process)

    def _one(self, daemon: Libvirt, argv: list[str], process: Process) -> int:
        patience = FOR_EVER if daemon.machine is process.machine else KEEPALIVE
        command, *arguments = argv
        if command == "echo":
            process.out.append(" ".join(arguments) + "\n")
            return 0
        answer = getattr(self, "_" + command.replace("-", "_"))

        def work() -> str:
            self._timeline.sleep(ANSWER)
            said: str = answer(daemon, arguments)
            return said

        try:
            process.out.append(daemon.call(command, work, patience))
        except LibvirtError as problem:
            process.err.append(f"error: {problem}\n")
            return 1
        return 0

    def _daemon(self, uri: str, process: Process) -> Libvirt:
        host = uri.partition("://")[2].partition("/")[0].rpartition("@")[2]
        if not host:
            return self._daemons[process.machine.name]
        node = self._hosts[host]
        if not self._daemons[node].machine.powered or not self._line.linked(process.machine.name, node):
            self._timeline.sleep(3.0)
            raise LibvirtError(f"unable to connect to server at '{host}': No route to host")
        return self._daemons[node]

    # ---- commands

    def _migrate(self, daemon: Libvirt, arguments: list[str], process: Process) -> int:
        options = dict(zip(arguments, [*arguments[1:], ""], strict=True))
        domain = daemon.find(options["--domain"])
        node = self._hosts[options["--desturi"].partition("://")[2].partition("/")[0].rpartition("@")[2]]
        path = options.get("--xml")
        xml = daemon.machine.read(path).decode() if path else domain.xml
        move = Migration(self._timeline, self._line, daemon, self._daemons[node])
        move.run(domain.uuid, xml, suspend="--suspend" in arguments, client=process)
        return 0

    def _version(self, _daemon: Libvirt, _arguments: list[str]) -> str:
        return "Running against daemon: 9.0.0\n"

    def _list(self, daemon: Libvirt, arguments: list[str]) -> str:
        kept = self.kept[daemon.machine.name].known if "--all" in arguments else {}
        return "".join(f"{uuid}\n" for uuid in {**daemon.domains, **kept})

    def _dominfo(self, daemon: Libvirt, arguments: list[str]) -> str:
        kept = self.kept[daemon.machine.name].known.get(arguments[0])
        found = daemon.domains.get(arguments[0]) or kept or daemon.find(arguments[0])
        running = isinstance(found, Domain) and found.qemu is not None
        number = found.qemu.pid if isinstance(found, Domain) and found.qemu else 1
        return (
            f"Id: {number if running else '-'}\nName: {found.name}\nUUID: {found.uuid}\n"
            f"Persistent: {'yes' if kept else 'no'}\nAutostart: {'enable' if kept and kept.autostart else 'disable'}\n"
        )

    def _domstate(self, daemon: Libvirt, arguments: list[str]) -> str:
        key = next(one for one in arguments if not one.startswith("--"))
        if key in self.kept[daemon.machine.name].known and key not in daemon.domains:
            return "shut off (unknown)\n" if "--reason" in arguments else "shut off\n"
        domain = daemon.find(key)
        return f"{domain.state} ({domain.reason})\n" if "--reason" in arguments else f"{domain.state}\n"

    def _domjobinfo(self, daemon: Libvirt, arguments: list[str]) -> str:
        domain: Domain = daemon.find(next(one for one in arguments if not one.startswith("--")))
        return "".join(f"{name}: {value}\n" for name, value in domain.progress.items())

    def _dumpxml(self, daemon: Libvirt, arguments: list[str]) -> str:
        return daemon.find(next(one for one in arguments if not one.startswith("--"))).xml

    def _create(self, daemon: Libvirt, arguments: list[str]) -> str:
        domain = daemon.create(daemon.machine.read(arguments[0]).decode())
        return f"Domain '{domain.name}' created from {arguments[0]}\n"

    def _define(self, daemon: Libvirt, arguments: list[str]) -> str:
        found = self.kept[daemon.machine.name].define(daemon.machine.read(arguments[0]).decode())
        return f"Domain '{found.name}' defined from {arguments[0]}\n"

    def _autostart(self, daemon: Libvirt, arguments: list[str]) -> str:
        self.kept[daemon.machine.name].find(arguments[0]).autostart = True
        return ""

    def _start(self, daemon: Libvirt, arguments: list[str]) -> str:
        self.kept[daemon.machine.name].start(arguments[0])
        return ""

    def _save(self, daemon: Libvirt, arguments: list[str]) -> str:
        self.kept[daemon.machine.name].save(arguments[0])
        return ""

    def _restore(self, daemon: Libvirt, arguments: list[str]) -> str:
        self.kept[daemon.machine.name].restore(arguments[0])
        return ""

    def _snapshot_revert(self, daemon: Libvirt, arguments: list[str]) -> str:
        self.kept[daemon.machine.name].revert(arguments[0])
        return ""

    def _destroy(self, daemon: Libvirt, arguments: list[str]) -> str:
        daemon.destroy(arguments[0])
        return f"Domain '{arguments[0]}' destroyed\n"

    def _resume(self, daemon: Libvirt, arguments: list[str]) -> str:
        daemon.resume(arguments[0])
        return ""

    def _suspend(self, daemon: Libvirt, arguments: list[str]) -> str:
        daemon.suspend(arguments[0])
        return ""

    def _shutdown(self, daemon: Libvirt, arguments: list[str]) -> str:
        daemon.shutdown(arguments[0])
        return ""

    def _domjobabort(self, daemon: Libvirt, arguments: list[str]) -> str:
        domain = daemon.find(arguments[0])
        if domain.job == "migration out":
            domain.job = "abort"
        return ""

    def _migrate_setmaxdowntime(self, daemon: Libvirt, arguments: list[str]) -> str:
        daemon.find(arguments[0])
        return ""
