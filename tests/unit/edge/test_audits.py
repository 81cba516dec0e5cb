"""A node's answer to an audit: what it does not say, or says otherwise than agreed, was not learnt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hacluster.edge import audits
from hacluster.edge.hosts import PROBE, RELEASE, NodeHosts
from hacluster.edge.libvirt import NodeLibvirt
from hacluster.ports import (
    Completed,
    Definition,
    DiskUser,
    DrainUnit,
    HostAudit,
    HostDisk,
    NodeFile,
    Released,
    Unknown,
    Unreachable,
)

USER = {"pid": 7, "uuid": "u1", "program": "qemu-system-x86_64", "locked": True}
DISK = {"uuid": "u1", "path": "/dev/lab/web", "kind": "block", "filesystem": "", "shareable": False, "users": [USER]}
WHOLE: Mapping[str, Any] = {
    "pacemaker": "2.1.5",
    "code": "c0ffee",
    "guests_service": False,
    "definitions": [{"name": "web", "uuid": "u1", "autostart": True}],
    "domain_sums": {"web.0123456789abcdef.xml": "ab"},
    "disks": [DISK],
    "drain": {"loaded": True, "enabled": True, "active": False, "after": ["pacemaker.service"]},
}


def told(**changed: object) -> HostAudit:
    answer = audits.read("n1", json.dumps({"format": 1, "audit": {**WHOLE, **changed}}).encode())
    assert isinstance(answer, HostAudit)
    return answer


def test_a_whole_answer() -> None:
    found = told()
    assert (found.pacemaker, found.code, found.guests_service) == ("2.1.5", "c0ffee", False)
    assert found.definitions == (Definition("web", "u1", True),)
    assert found.domain_sums == {"web.0123456789abcdef.xml": "ab"}
    assert found.drain == DrainUnit(True, True, False, ("pacemaker.service",))
    user = DiskUser(7, "u1", "qemu-system-x86_64", True)
    assert found.disks == (HostDisk("u1", "/dev/lab/web", "block", "", False, (user,)),)


@pytest.mark.parametrize("part", WHOLE)
@pytest.mark.parametrize("value", [None, 5, [{"name": "web"}, 5], {"web": 5}])
def test_a_part_that_is_missing_or_malformed_is_unknown_and_never_empty(part: str, value: object) -> None:
    assert getattr(told(**{part: value}), part) is None


def test_a_disk_whose_users_are_not_told_is_not_known_at_all() -> None:
    assert told(disks=[{**DISK, "users": None}]).disks is None


@pytest.mark.parametrize("text", [b"", b"[]", b'{"format": 2}', b'{"format": 1, "presence": {}}'])
def test_an_older_probe_gives_its_facts_instead_which_is_no_audit(text: bytes) -> None:
    assert isinstance(audits.read("n1", text), Unknown)


@pytest.mark.parametrize("text", [b"", b'{"format": 1}', b'{"format": 1, "released": "yes"}'])
def test_a_release_that_is_not_told_is_not_known(text: bytes) -> None:
    assert isinstance(audits.released("n1", text), Unknown)


class Nodes:
    """A runner whose nodes answer, or are gone."""

    def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        if node == "gone":
            raise Unreachable("gone does not answer")
        said = {
            (PROBE, "audit"): {"format": 1, "audit": WHOLE},
            (RELEASE, "u1"): {"format": 1, "released": False, "mode": "EX", "reason": "a QEMU of it lives"},
        }[tuple(argv)]  # type: ignore[index]  # what is asked has two words
        return Completed(0, json.dumps(said).encode(), b"") if node != "bare" else Completed(127, b"", b"")

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        raise AssertionError


def test_each_node_answers_for_itself() -> None:
    hosts = NodeHosts(Nodes(), NodeLibvirt(lambda _node: False))
    answers = hosts.audit(["n1", "gone", "bare"], deadline=2)
    assert isinstance(answers["n1"], HostAudit)
    assert all(isinstance(answers[node], Unknown) for node in ("gone", "bare"))
    assert hosts.release("n1", "u1") == Released(False, "EX", "a QEMU of it lives")
    assert isinstance(hosts.release("gone", "u1"), Unknown)
    assert "bootstrap" in str(hosts.release("bare", "u1"))
