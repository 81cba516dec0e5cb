"""A cluster that is a CIB in a file: Pacemaker's and pcs's real tools work on it (`CIB_file`), no daemon does.

The ports are the product's own edge over a runner that lends every command that file, so a push is pcs's own and is
refused for the reasons that a cluster refuses one. Nodes are folders in memory. Only the controller is missing: nothing
ever starts or stops, and it says that it is idle.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from hacluster.edge.pacemaker import PacemakerTools
from hacluster.ports import Completed, HostAudit, HostFacts, NodeFile, Released, Unknown, Unreachable


@dataclass
class Time:
    """A clock that moves when somebody sleeps."""

    seconds: float = 0.0

    def now(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return 1_700_000_000.0 + self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class FileRunner:
    """Runs every node's commands here, on the one CIB. `before` is called with each command before it runs."""

    file: Path
    calls: list[Sequence[str]] = field(default_factory=list)

    def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        self.calls.append(argv)
        if argv[0] == "crmadmin":
            return Completed(0, b"n1\n" if "--dc_lookup" in argv else b"S_IDLE\n", b"")
        environment = {**os.environ, "CIB_file": str(self.file), "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, env=environment, timeout=deadline, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Unreachable(f"{argv[0]} did not end in time") from error
        return Completed(done.returncode, done.stdout, done.stderr)

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        raise NotImplementedError


@dataclass
class FileHosts:
    """Nodes with files in memory; those in `gone` do not answer. They run nothing."""

    nodes: tuple[str, ...]
    gone: set[str] = field(default_factory=set)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def facts(self, nodes: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, HostFacts | Unknown]:
        return {node: Unknown(f"{node} is gone") if node in self.gone else self._facts(node) for node in nodes}

    def _facts(self, node: str) -> HostFacts:
        there = tuple(
            sorted(
                path.rpartition("/")[2]
                for where, path in self.files
                if where == node and path.startswith("/etc/hacluster/domains/")
            )
        )
        return HostFacts(node, "b", "1", True, True, 1 << 34, 1 << 33, (), (), (), (), there, {})

    def audit(self, nodes: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, HostAudit | Unknown]:
        return dict.fromkeys(nodes, Unknown("not audited"))

    def release(self, node: str, uuid: str, *, deadline: float = 15.0) -> Released | Unknown:
        return Unknown("it has no locks")

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        if node in self.gone:
            raise Unreachable(f"{node} is gone")
        self.files.update({(node, file.path): file.content for file in files})

    def read(self, node: str, paths: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, bytes] | Unknown:
        if node in self.gone:
            return Unknown(f"{node} is gone")
        return {path: self.files[node, path] for path in paths if (node, path) in self.files}

    def remove(self, node: str, paths: Sequence[str]) -> None:
        if node in self.gone:
            raise Unreachable(f"{node} is gone")
        for path in paths:
            self.files.pop((node, path), None)

    def job(self, node: str, domain: str, *, deadline: float = 3.0) -> Mapping[str, int] | Unknown | None:
        return None

    def compare_cpu(self, node: str, domain_xml: bytes, *, deadline: float = 5.0) -> str | Unknown:
        return "identical"


class FileWorld:
    """The ports of a cluster whose CIB is a file. `cib` begins it."""

    def __init__(self, file: Path, cib: bytes, nodes: tuple[str, ...] = ("n1", "n2", "n3")) -> None:
        file.write_bytes(cib)
        self.file = file
        self.runner = FileRunner(file)
        self.pacemaker = PacemakerTools(self.runner, nodes[0])
        self.hosts = FileHosts(nodes)
        self.clock = Time()

    def live(self) -> etree._Element:
        """The CIB as it is now."""
        return etree.fromstring(self.pacemaker.cib())

    def types(self, *argv: str) -> Completed:
        """Another admin types a command of the cluster's tools. It must succeed."""
        # Of pcs, only what pushes takes the file from the environment.
        typed = ("pcs", "-f", str(self.file), *argv[1:]) if argv[0] == "pcs" else argv
        done = self.runner.run("n2", typed)
        assert done.ok, (argv, done.err)
        return done
