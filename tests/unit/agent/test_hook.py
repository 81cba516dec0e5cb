"""The hook: whom it admits, on nothing but this node's own files; and its front, which must work without Python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hacluster.guard import proof, state
from hacluster.guard.dlm import CR, EX, NL, PW, Busy
from hacluster.guard.proof import Process, Scan
from hacluster.guard.state import State
from resource_agents import hook, lock_driver

ROOT = Path(__file__).parents[3]
UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"
NONCE, OTHER = "0123456789abcdef", "fedcba9876543210"


def xml(nonce: str = "") -> str:
    note = f"<metadata><hacluster:move xmlns:hacluster='x' nonce='{nonce}'/></metadata>" if nonce else ""
    return f"<domain type='kvm'>\n  <name>web</name>\n  <uuid>{UUID}</uuid>{note}</domain>"


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scan:
    """A node with no QEMU, whose state files lie in the test's directory; what /proc shows can be added to."""
    monkeypatch.setattr(state, "RUN", str(tmp_path))
    monkeypatch.setattr(state, "LOCKSPACE", str(tmp_path / "lockspace"))
    state.write_pairs(state.LOCKSPACE, {"node": "n2", "boot": state.boot_id(), "leaving": "0"})
    scan = Scan()
    monkeypatch.setattr(proof, "scan", lambda: scan)
    return scan


def ask(operation: str, nonce: str = "") -> str:
    return hook.run("web", operation, xml(nonce), os.getpid())


@pytest.mark.parametrize(
    ("mode", "refusal"),
    [
        (EX, ""),
        (NL, "does not hold its run-lock"),
        (CR, "a seat never admits a fresh start"),
        (PW, "is handing it over"),
    ],
)
@pytest.mark.parametrize("operation", ["prepare", "restore", "attach"])
def test_a_qemu_of_ones_own_needs_the_seal(seen: Scan, operation: str, mode: int, refusal: str) -> None:
    state.write(UUID, State(mode, NONCE))
    answer = ask(operation, NONCE)
    assert (refusal in answer) if refusal else answer == ""


def test_a_refusal_is_one_sentence_with_the_next_command(seen: Scan) -> None:
    answer = ask("prepare")
    assert answer.startswith("hacluster: web may not start on ")
    assert "hactl vm move web" in answer
    assert "\n" not in answer


def test_a_refused_start_leaves_no_marker(seen: Scan) -> None:
    ask("prepare")
    assert not state.in_flight(UUID, ".starting")


def test_an_admitted_start_is_in_flight_until_it_is_seen(seen: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    state.write(UUID, State(EX))
    ask("prepare")
    assert ask("start") == ""
    assert state.in_flight(UUID, ".starting")
    seen.by_uuid[UUID] = [Process(os.getpid(), 1, "S")]
    assert ask("started") == ""
    assert not state.in_flight(UUID, ".starting")
    recorded = proof.recorded(UUID)
    assert recorded is not None
    assert recorded.pid == os.getpid()


def test_a_start_that_was_not_prepared_is_refused(seen: Scan) -> None:
    state.write(UUID, State(EX))
    assert "was not admitted" in ask("start")


def test_a_second_qemu_is_refused_even_where_the_vm_is_sealed(seen: Scan) -> None:
    state.write(UUID, State(EX))
    seen.by_uuid[UUID] = [Process(4711, 1, "S")]
    assert "lives here already (pid 4711)" in ask("prepare")


def announced(nonce: str) -> None:
    state.write_pairs(state.path(UUID, ".incoming"), {"nonce": nonce})


@pytest.mark.parametrize(
    ("seat", "announcement", "arriving", "admitted"),
    [
        (NONCE, NONCE, NONCE, True),
        (NONCE, NONCE, OTHER, False),
        (NONCE, OTHER, NONCE, False),
        (OTHER, NONCE, NONCE, False),
        ("", "", "", False),
    ],
)
def test_an_incoming_copy_needs_the_seat_of_its_own_move(
    seen: Scan, seat: str, announcement: str, arriving: str, admitted: bool
) -> None:
    state.write(UUID, State(CR, seat))
    announced(announcement)
    assert (ask("prepare", arriving) == "") is admitted


def test_an_announcement_serves_once(seen: Scan) -> None:
    state.write(UUID, State(CR, NONCE))
    announced(NONCE)
    assert ask("prepare", NONCE) == ""
    assert "a seat never admits a fresh start" in ask("prepare", NONCE)


def test_a_migration_by_hand_is_refused(seen: Scan) -> None:
    assert "is not moved by hand" in ask("migrate")


def test_no_seat_where_the_leases_that_the_cib_wants_are_lost(seen: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_driver, "problem", lambda _record: "virtlockd on n2 does not run")
    assert "web cannot arrive on n2: virtlockd on n2 does not run" in ask("migrate", NONCE)
    assert state.read(UUID).mode == NL


@pytest.mark.parametrize("operation", ["stopped", "release", "reconnect", "something new"])
def test_what_cannot_be_refused_is_not(seen: Scan, operation: str) -> None:
    assert ask(operation) == ""


# ---- the front


class Front:
    """The installed front with its fixed paths turned to the test's directory, and a Python that can be missing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "domains").mkdir()
        text = (ROOT / "resource_agents" / "hooks" / "qemu").read_text()
        text = text.replace("/var/lib/pacemaker/cib/cib.xml", str(root / "cib.xml"))
        text = text.replace("/etc/hacluster/domains", str(root / "domains"))
        text = text.replace("/usr/bin/python3", str(root / "python3"))
        text = text.replace("/run/hacluster/vm", str(root))
        (root / "front").write_text(text)

    def python(self, code: int) -> None:
        (self.root / "python3").write_text(
            f"#!/bin/sh\ncat > {self.root}/stdin; echo noise; echo a sentence >&2; exit {code}\n"
        )
        (self.root / "python3").chmod(0o755)

    def call(self, operation: str, text: str = xml()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(self.root / "front"), "web", operation, "begin", "-"],
            input=text, capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def front(tmp_path: Path) -> Front:
    return Front(tmp_path)


def test_an_unmanaged_vm_passes_without_python(front: Front) -> None:
    assert front.call("prepare").returncode == 0


def test_where_the_lists_of_managed_vms_cannot_be_read_nobody_passes_as_unmanaged(front: Front) -> None:
    (front.root / "domains" / "other.0123456789abcdef.xml").write_text("<domain/>")
    (front.root / "cib.xml").mkdir()  # stands for a disk with errors: root may read everything else
    front.python(1)
    refused = front.call("prepare")
    assert refused.returncode == 1
    assert "cannot be read here" in refused.stderr


@pytest.mark.parametrize("operation", ["reconnect", "stopped"])
def test_what_starts_nothing_never_waits_for_python(front: Front, operation: str) -> None:
    (front.root / "cib.xml").write_text(UUID)
    front.python(1)
    assert front.call(operation).returncode == 0


def test_a_start_that_prepare_admitted_does_not_wait_for_python_again_and_any_other_asks_it(front: Front) -> None:
    (front.root / "cib.xml").write_text(UUID)
    front.python(1)
    assert front.call("start").returncode == 1
    (front.root / f"{UUID}.starting").write_text("")
    assert front.call("start").returncode == 0
    assert front.call("prepare").returncode == 1


@pytest.mark.parametrize("place", ["cib.xml", "domains/web.0123456789abcdef.xml"])
def test_a_managed_vm_does_not_start_without_python(front: Front, place: str) -> None:
    (front.root / place).write_text(f'<nvpair name="uuid" value="{UUID.upper()}"/>')
    assert front.call("prepare").returncode != 0


@pytest.mark.parametrize("code", [0, 1])
def test_a_managed_vm_is_pythons_business_and_nothing_is_printed(front: Front, code: int) -> None:
    (front.root / "cib.xml").write_text(UUID)
    front.python(code)
    result = front.call("migrate")
    assert (result.returncode, result.stdout, result.stderr) == (code, "", "a sentence\n")
    assert (front.root / "stdin").read_text() == xml() + "\n"


def test_no_start_beside_a_dying_qemu_that_shows_no_uuid_any_more(seen: Scan) -> None:
    state.write(UUID, State(EX))
    state.write_pairs(state.path(UUID, ".qemu"), {"pid": "7", "start": "1007"})
    seen.nameless.append(7)
    assert "a QEMU of it lives here already (pid 7)" in ask("prepare")


@pytest.mark.parametrize("how", ["closed", "not joined", "joined in another boot"])
def test_a_node_outside_the_lockspace_admits_nothing_whatever_its_records_say(seen: Scan, how: str) -> None:
    state.write(UUID, State(EX))
    if how == "not joined":
        state.remove(state.LOCKSPACE)
    else:
        boot = state.boot_id() if how == "closed" else "00000000-1111-2222-3333-444444444444"
        state.write_pairs(state.LOCKSPACE, {"node": "n2", "boot": boot, "leaving": "1" if how == "closed" else "0"})
    assert "is not in the lockspace" in ask("prepare")
    assert not state.in_flight(UUID, ".starting")


def test_a_refused_arrival_leaves_the_marker_of_a_start_under_way(seen: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    state.write(UUID, State(EX))
    assert ask("prepare") == ""

    class Refuses:
        def __init__(self, _uuid: str) -> None:
            pass

        def take_seat(self, *_: object) -> None:
            raise Busy("held by n1 (EX)")

    monkeypatch.setattr(hook, "RunLock", Refuses)
    assert "gets no seat" in ask("migrate", NONCE)
    assert state.in_flight(UUID, ".starting"), "its lock could be swept while its QEMU is being forked"
