"""The nodes' own facts, by the probe that is installed on each of them, and their files.

The probe's answer is read with suspicion: a format it does not name is Unknown as a whole, and a part that is missing
or malformed is "could not be learnt" (None), never empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog

from hacluster.edge import audits, lease_facts, told
from hacluster.edge.deadline import gather
from hacluster.edge.libvirt import NodeLibvirt
from hacluster.ports import (
    AgentFailure,
    Domain,
    HeldLock,
    HostAudit,
    HostFacts,
    NodeFile,
    Qemu,
    Released,
    Runner,
    Unknown,
    Unreachable,
)
from hacluster.problems import Refused

log = structlog.get_logger(__name__)

PROBE = "/usr/lib/hacluster/probe"
RELEASE = "/usr/lib/hacluster/release"
FORMAT = 1

# A NUL is in no path and in no text file, so it can part them; base64 would cost a process per file.
_READ = """for f; do [ -f "$f" ] && [ -r "$f" ] && { printf '%s\\0' "$f"; cat "$f"; printf '\\0'; }; done; true"""

Answer = TypeVar("Answer")


class NodeHosts:
    """The Hosts port over a Runner, and libvirt's API where only that has the answer."""

    def __init__(self, runner: Runner, libvirt: NodeLibvirt) -> None:
        self._runner = runner
        self._libvirt = libvirt

    def facts(self, nodes: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, HostFacts | Unknown]:
        """As Hosts.facts."""
        return self._each(nodes, [PROBE], read, deadline)

    def audit(self, nodes: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, HostAudit | Unknown]:
        """As Hosts.audit."""
        return self._each(nodes, [PROBE, "audit"], audits.read, deadline)

    def release(self, node: str, uuid: str, *, deadline: float = 15.0) -> Released | Unknown:
        """As Hosts.release."""
        return self._ask(node, [RELEASE, uuid], audits.released, deadline)

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        """As Hosts.put."""
        self._runner.put(node, files)

    def read(self, node: str, paths: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, bytes] | Unknown:
        """As Hosts.read, for text files."""
        try:
            done = self._runner.run(node, ["sh", "-c", _READ, "hactl-read", *paths], deadline=deadline)
        except Unreachable as error:
            return Unknown(str(error))
        except Refused as no:
            return Unknown("; ".join(p.message for p in no.problems))
        parts = done.out.split(b"\0")[:-1]
        if not done.ok or len(parts) % 2:
            return Unknown(f"{node}: files could not be read: {done.err.decode(errors='replace').strip()}")
        return {path.decode(): content for path, content in zip(parts[::2], parts[1::2], strict=True)}

    def remove(self, node: str, paths: Sequence[str]) -> None:
        """As Hosts.remove. Raises OSError too, when a file is there and cannot be deleted."""
        if not paths:
            return
        done = self._runner.run(node, ["rm", "-f", "--", *paths])
        if not done.ok:
            raise OSError(f"{node}: {done.err.decode(errors='replace').strip()}")

    def job(self, node: str, domain: str, *, deadline: float = 3.0) -> Mapping[str, int] | Unknown | None:
        """As Hosts.job."""
        return self._libvirt.job(node, domain, deadline)

    def compare_cpu(self, node: str, domain_xml: bytes, *, deadline: float = 5.0) -> str | Unknown:
        """As Hosts.compare_cpu."""
        return self._libvirt.compare_cpu(node, domain_xml, deadline)

    def _each(
        self,
        nodes: Sequence[str],
        argv: Sequence[str],
        taken: Callable[[str, bytes], Answer | Unknown],
        deadline: float,
    ) -> Mapping[str, Answer | Unknown]:
        """All nodes at once."""
        # A second more than the command's own deadline: the runner's error says more than "no answer".
        answers = gather({node: partial(self._ask, node, argv, taken, deadline) for node in nodes}, deadline + 1)
        return {
            node: Unknown(str(answer)) if isinstance(answer, Exception) else answer for node, answer in answers.items()
        }

    def _ask(
        self, node: str, argv: Sequence[str], taken: Callable[[str, bytes], Answer | Unknown], deadline: float
    ) -> Answer | Unknown:
        """What one of our programs on a node says, read by `taken`."""
        try:
            done = self._runner.run(node, argv, deadline=deadline)
        except Unreachable as error:
            return Unknown(str(error))
        except Refused as no:
            return Unknown("; ".join(f"{p.message} ({p.remedy})" for p in no.problems))
        if done.code == 127:
            return Unknown(f"it has no {argv[0]} (hactl node bootstrap {node})")
        if not done.ok:
            return Unknown(f"the probe failed: {done.err.decode(errors='replace').strip()[-300:]}")
        return taken(node, done.out)


def read(node: str, text: bytes) -> HostFacts | Unknown:
    """A probe's answer as facts. Pure."""
    answer = told.answer(node, text, FORMAT)
    if isinstance(answer, Unknown):
        return answer
    return HostFacts(
        node=node,
        boot_id=str(answer.get("boot_id") or ""),
        guard_version=str(answer.get("guard_version") or ""),
        hook_ok=_hook(answer.get("hook")),
        libvirt_answers=told.part(answer.get("libvirt")).get("answers") is True,
        mem_total=told.number(answer.get("mem_total")),
        mem_available=told.number(answer.get("mem_available")),
        bridges=told.parts(answer.get("bridges"), str),
        domains=told.parts(answer.get("domains"), _domain),
        qemus=told.parts(answer.get("qemus"), _qemu),
        locks=told.parts(answer.get("locks"), _lock),
        domain_files=told.parts(answer.get("domain_files"), str),
        presence={
            str(uuid): word if word in ("PRESENT", "ABSENT") else "UNKNOWN"
            for uuid, word in told.part(answer.get("presence")).items()
        },
        failures={str(uuid): _failure(told.part(kept)) for uuid, kept in told.part(answer.get("failures")).items()},
        leases=lease_facts.read(answer.get("lock_driver")),
    )


def _hook(value: object) -> bool | None:
    if not isinstance(value, dict):
        return None
    said = [value.get(name) for name in ("installed", "executable", "expected")]
    if False in said:
        return False
    return True if all(word is True for word in said) else None


def _domain(said: Mapping[str, Any]) -> Domain:
    job = said.get("job")
    return Domain(
        name=str(said["name"]),
        uuid=str(said["uuid"]),
        state=str(said["state"]),
        reason=str(said.get("reason") or ""),
        persistent=bool(said.get("persistent")),
        autostart=bool(said.get("autostart")),
        job={k: v for k, v in job.items() if isinstance(v, int)} if isinstance(job, dict) else None,
    )


def _failure(said: Mapping[str, Any]) -> AgentFailure:
    at = str(said.get("at"))
    return AgentFailure(str(said.get("action")), str(said.get("sentence")), int(at) if at.isdecimal() else 0)


def _qemu(said: Mapping[str, Any]) -> Qemu:
    return Qemu(str(said["uuid"]), int(said["pid"]), int(said["start"]), str(said["state"]))


def _lock(said: Mapping[str, Any]) -> HeldLock:
    return HeldLock(
        uuid=str(said["uuid"]),
        mode=str(said["mode"]),
        nonce=said.get("nonce"),
        target=said.get("target"),
        since=told.number(said.get("since")),
        handed=said.get("handed") is True,
    )
