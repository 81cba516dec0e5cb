"""A probe's answer: what it says is taken, what it does not say is unknown, and a foreign format is nothing at all."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hacluster.edge.hosts import PROBE, NodeHosts, read
from hacluster.edge.libvirt import NodeLibvirt
from hacluster.ports import Completed, Domain, HeldLock, HostFacts, NodeFile, Qemu, Unknown, Unreachable

WHOLE: Mapping[str, Any] = {
    "format": 1,
    "node": "n1",
    "boot_id": "b-1",
    "guard_version": "1",
    "hook": {"installed": True, "sha256": "00", "executable": True, "expected": True},
    "libvirt": {"answers": True, "version": "9.0.0"},
    "mem_total": 2048,
    "mem_available": 1024,
    "bridges": ["br0"],
    "domains": [
        {
            "name": "web",
            "uuid": "u1",
            "state": "running",
            "reason": "booted",
            "persistent": False,
            "autostart": False,
            "job": {"data_total": 10, "data_remaining": 4},
        }
    ],
    "qemus": [{"uuid": "u1", "pid": 7, "start": 8, "state": "S"}],
    "locks": [{"uuid": "u1", "mode": "EX", "nonce": None, "target": None, "since": 9}],
    "domain_files": ["web.0123456789abcdef.xml"],
    "presence": {"u1": "PRESENT", "u2": "ABSENT"},
}


def facts(**changed: object) -> HostFacts:
    answer = read("n1", json.dumps({**WHOLE, **changed}).encode())
    assert isinstance(answer, HostFacts)
    return answer


def test_a_whole_answer() -> None:
    told = facts()
    assert told.domains == (Domain("web", "u1", "running", "booted", job={"data_total": 10, "data_remaining": 4}),)
    assert told.qemus == (Qemu("u1", 7, 8, "S"),)
    assert told.locks == (HeldLock("u1", "EX", since=9),)
    assert (told.hook_ok, told.libvirt_answers, told.mem_available, told.bridges) == (True, True, 1024, ("br0",))
    assert told.presence == {"u1": "PRESENT", "u2": "ABSENT"}


@pytest.mark.parametrize("part", ["bridges", "domains", "qemus", "locks", "domain_files"])
@pytest.mark.parametrize("value", [None, {}, "none", [{"name": "web"}, 5]])
def test_a_part_that_is_missing_or_malformed_is_unknown_and_never_empty(part: str, value: object) -> None:
    if part in ("bridges", "domain_files") and isinstance(value, list):
        value = None
    assert getattr(facts(**{part: value}), part) is None


def test_an_empty_part_is_empty() -> None:
    assert facts(domains=[]).domains == ()


def test_a_presence_word_that_is_not_known_is_unknown() -> None:
    assert facts(presence={"u1": "MAYBE"}).presence == {"u1": "UNKNOWN"}


@pytest.mark.parametrize(
    ("hook", "ok"),
    [
        (None, None),
        ({"installed": True, "executable": True, "expected": None}, None),
        ({"installed": True, "executable": False, "expected": True}, False),
        ({"installed": False}, False),
    ],
)
def test_the_hook_stands_only_when_all_of_it_is_said(hook: object, ok: bool | None) -> None:
    assert facts(hook=hook).hook_ok is ok


@pytest.mark.parametrize("text", [b"", b"not json", b"[]", b'{"format": 2}'])
def test_an_answer_of_another_format_is_unknown(text: bytes) -> None:
    assert isinstance(read("n1", text), Unknown)


class Nodes:
    """A runner whose nodes answer, hang or are gone."""

    def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        """The node's name says how it behaves."""
        assert list(argv) == [PROBE]
        if node == "gone":
            raise Unreachable("gone does not answer")
        if node == "hangs":
            time.sleep(30)
        if node == "bare":
            return Completed(127, b"", b"")
        return Completed(0, json.dumps(WHOLE).encode(), b"")

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        """Not used here."""
        raise AssertionError


def test_nodes_that_do_not_answer_are_unknown_and_cost_one_deadline_together() -> None:
    begun = time.monotonic()
    hosts = NodeHosts(Nodes(), NodeLibvirt(lambda _node: False))
    answers = hosts.facts(["n1", "gone", "hangs", "bare"], deadline=0.2)
    assert time.monotonic() - begun < 3
    assert isinstance(answers["n1"], HostFacts)
    assert all(isinstance(answers[node], Unknown) for node in ("gone", "hangs", "bare"))
    assert "bootstrap" in str(answers["bare"])
