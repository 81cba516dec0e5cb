"""Reading a host's answer: all of it, and with suspicion."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from hacluster.ports import Unknown
from hacluster.survey import facts
from hacluster.survey.facts import Frame, Host, Peer, Reached, Ssh, Unit
from tests.unit.survey.recorded import told

PARTS = [field.name for field in fields(Host) if field.name not in ("name", "skew", "doubt", "multipath")]


def read(**changed: object) -> Host:
    host = facts.read("n1", json.dumps({**told()["n1"], **changed}).encode())
    assert isinstance(host, Host)
    return host


def test_a_real_hosts_answer_is_read_whole() -> None:
    host = read()
    # The lab's nodes have no multipathd, and nobody there says whether the clock is kept.
    assert [part for part in PARTS if getattr(host, part) is None] == []
    assert host.versions is not None and host.versions["pacemaker"] == "2.1.5"
    assert host.hypervisor is not None and host.hypervisor.answers and host.hypervisor.qemu == "7.2.22"
    assert host.peers is not None and set(host.peers) == {"n2", "n3"}
    frames = {"10.99.0.12": Frame(1500, True, True), "10.99.1.12": Frame(1500, True, True)}
    ports = {"2224": "open", "16509": "open", "49152": "refused"}
    assert host.peers["n2"] == Peer(Ssh("ok", ""), Reached(True, ""), ports, frames)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", [None, "x", 5, [5], {"x": 5}])
def test_a_part_of_another_shape_is_unknown_and_never_empty(part: str, value: object) -> None:
    assert getattr(read(**{part: value}), part) is None


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"format": 2}', b"Traceback"])
def test_what_is_no_answer_is_unknown(text: bytes) -> None:
    assert isinstance(facts.read("n1", text), Unknown)


def test_a_unit_that_systemd_does_not_know_is_not_there_and_one_of_a_silent_systemd_is_unknown() -> None:
    assert read().unit("no.service") == Unit(False, False, False, ())
    assert read(units=None).unit("no.service") is None
