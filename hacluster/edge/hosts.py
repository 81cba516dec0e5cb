"""The nodes' own facts, by the probe that is installed on each of them, and their files.

The probe's answer is read with suspicion: a format it does not name is Unknown as a whole, and a part that is missing
or malformed is "could not be learnt" (None), never empty.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog

from hacluster.edge.deadline import gather
from hacluster.edge.libvirt import NodeLibvirt
from hacluster.ports import AgentFailure, Domain, HeldLock, HostFacts, Qemu, Runner, Unknown, Unreachable
from hacluster.problems import Refused

log = structlog.get_logger(__name__)

PROBE = "/usr/lib/hacluster/probe"
FORMAT = 1

# A NUL is in no path and in no text file, so it can part them; base64 would cost a process per file.
_READ = """for f; do [ -f "$f" ] && [ -r "$f" ] && { printf '%s\\0' "$f"; cat "$f"; printf '\\0'; }; done; true"""

Part = TypeVar("Part")


class NodeHosts:
    """The Hosts port over a Runner, and libvirt's API where only that has the answer."""

    def __init__(self, runner: Runner, libvirt: NodeLibvirt) -> None:
        self._runner = runner
        self._libvirt = libvirt

    def facts(self, nodes: Sequence[str], *, deadline: float = 10.0) -> Mapping[str, HostFacts | Unknown]:
        """As Hosts.facts."""
        # A second more than the command's own deadline: the runner's error says more than "no answer".
        answers = gather({node: partial(self._probe, node, deadline) for node in nodes}, deadline + 1)
        return {
            node: Unknown(str(answer)) if isinstance(answer, Exception) else answer for node, answer in answers.items()
        }

    def put(self, node: str, path: str, content: bytes, mode: int = 0o600) -> None:
        """As Hosts.put."""
        self._runner.put(node, path, content, mode)

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

    def _probe(self, node: str, deadline: float) -> HostFacts | Unknown:
        try:
            done = self._runner.run(node, [PROBE], deadline=deadline)
        except Unreachable as error:
            return Unknown(str(error))
        except Refused as no:
            return Unknown("; ".join(f"{p.message} ({p.remedy})" for p in no.problems))
        if done.code == 127:
            return Unknown(f"it has no {PROBE} (hactl node bootstrap {node})")
        if not done.ok:
            return Unknown(f"the probe failed: {done.err.decode(errors='replace').strip()[-300:]}")
        return read(node, done.out)


def read(node: str, text: bytes) -> HostFacts | Unknown:
    """A probe's answer as facts. Pure."""
    try:
        told = json.loads(text)
    except ValueError as error:
        return Unknown(f"the probe's answer is no JSON ({error})")
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        return Unknown(f"the probe speaks another format than {FORMAT}; hactl node bootstrap {node} renews it")
    return HostFacts(
        node=node,
        boot_id=str(told.get("boot_id") or ""),
        guard_version=str(told.get("guard_version") or ""),
        hook_ok=_hook(told.get("hook")),
        libvirt_answers=_object(told.get("libvirt")).get("answers") is True,
        mem_total=_number(told.get("mem_total")),
        mem_available=_number(told.get("mem_available")),
        bridges=_list(told.get("bridges"), str),
        domains=_list(told.get("domains"), _domain),
        qemus=_list(told.get("qemus"), _qemu),
        locks=_list(told.get("locks"), _lock),
        domain_files=_list(told.get("domain_files"), str),
        presence={
            str(uuid): word if word in ("PRESENT", "ABSENT") else "UNKNOWN"
            for uuid, word in _object(told.get("presence")).items()
        },
        failures={str(uuid): _failure(_object(kept)) for uuid, kept in _object(told.get("failures")).items()},
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _list(value: object, one: Callable[[Any], Part]) -> tuple[Part, ...] | None:
    """All of them or None: a list with an entry that cannot be read is not known."""
    if not isinstance(value, list):
        return None
    try:
        return tuple(one(item) for item in value)
    except (KeyError, TypeError, ValueError):
        return None


def _hook(value: object) -> bool | None:
    if not isinstance(value, dict):
        return None
    said = [value.get(name) for name in ("installed", "executable", "expected")]
    if False in said:
        return False
    return True if all(word is True for word in said) else None


def _domain(told: Mapping[str, Any]) -> Domain:
    job = told.get("job")
    return Domain(
        name=str(told["name"]),
        uuid=str(told["uuid"]),
        state=str(told["state"]),
        reason=str(told.get("reason") or ""),
        persistent=bool(told.get("persistent")),
        autostart=bool(told.get("autostart")),
        job={k: v for k, v in job.items() if isinstance(v, int)} if isinstance(job, dict) else None,
    )


def _failure(told: Mapping[str, Any]) -> AgentFailure:
    at = str(told.get("at"))
    return AgentFailure(str(told.get("action")), str(told.get("sentence")), int(at) if at.isdecimal() else 0)


def _qemu(told: Mapping[str, Any]) -> Qemu:
    return Qemu(str(told["uuid"]), int(told["pid"]), int(told["start"]), str(told["state"]))


def _lock(told: Mapping[str, Any]) -> HeldLock:
    return HeldLock(
        uuid=str(told["uuid"]),
        mode=str(told["mode"]),
        nonce=told.get("nonce"),
        target=told.get("target"),
        since=_number(told.get("since")),
    )
