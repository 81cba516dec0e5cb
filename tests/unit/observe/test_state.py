"""The word for a VM, from what everybody says of it: small testimonies in, one word out."""

from dataclasses import replace

import pytest

from hacluster.claim import Claim
from hacluster.observe import state
from hacluster.observe.views import NodeView
from hacluster.ports import Domain, HeldLock, HostFacts, Qemu, Unknown

ABSENT: tuple[Domain | None, str | None] = (None, None)
SILENT = Unknown("n3 does not answer")


def domain(word: str, reason: str = "booted", **job: int) -> Domain:
    return Domain("web", "u1", word, reason, job=job or None)


def told(
    on: tuple[str, ...] = ("n1",),
    *,
    pending: str = "",
    failed: bool = False,
    blocked: bool = False,
    wanted: bool = True,
    claim: Claim | None = None,
    role: str = "Started",
    **nodes: tuple[Domain | None, str | None] | Unknown,
) -> state.Testimony:
    """Each node is (its domain, its lock mode), or Unknown. A node with a domain has a QEMU."""
    domains: dict[str, Domain | Unknown | None] = {}
    locks: dict[str, HeldLock | Unknown | None] = {}
    for node, said in nodes.items():
        domains[node] = said if isinstance(said, Unknown) else said[0]
        locks[node] = said if isinstance(said, Unknown) else (HeldLock("u1", said[1]) if said[1] else None)
    return state.Testimony(
        role=role,
        on=on,
        pending=pending,
        failed=failed,
        blocked=blocked,
        wanted=wanted,
        domains=domains,
        locks=locks,
        presence={
            n: "UNKNOWN" if isinstance(d, Unknown) else "ABSENT" if d is None else "PRESENT" for n, d in domains.items()
        },
        claim=claim,
    )


RUNNING, INCOMING, OUT = domain("running"), domain("paused", "migration"), domain("paused", "migration")
CLAIM = Claim("web", "n1", "n2", "root@n1", 1, 100)


@pytest.mark.parametrize(
    ("testimony", "word", "node"),
    [
        (told(n1=(RUNNING, "EX"), n2=ABSENT), "running on n1", "n1"),
        (told(n1=(domain("paused", "user"), "EX"), n2=ABSENT), "paused on n1", "n1"),
        (told((), n1=ABSENT, n2=ABSENT), "stopped", None),
        (told((), role="Stopped", wanted=False, n1=ABSENT, n2=ABSENT), "stopped", None),
        (told(("n2",), role="Starting", n1=ABSENT, n2=ABSENT), "starting on n2", None),
        (told(pending="Starting", n1=(RUNNING, "EX"), n2=ABSENT), "starting on n1", "n1"),
        (told(pending="Stopping", n1=(RUNNING, "EX"), n2=ABSENT), "stopping on n1", "n1"),
        (told((), failed=True, n1=ABSENT, n2=ABSENT), "failed", None),
        (told((), blocked=True, failed=True, n1=ABSENT, n2=ABSENT), "blocked", None),
        (told(failed=True, n1=(RUNNING, "EX"), n2=ABSENT), "failed, running on n1", "n1"),
        (told(blocked=True, n1=(RUNNING, "EX"), n2=ABSENT), "blocked, running on n1", "n1"),
        (told(n1=ABSENT, n2=ABSENT), "gone from n1", None),
    ],
)
def test_one_copy_or_none(testimony: state.Testimony, word: str, node: str | None) -> None:
    assert state.word(testimony) == (word, node)


@pytest.mark.parametrize(
    ("testimony", "word"),
    [
        (told(n1=(domain("running", data_total=200, data_processed=50), "PW"), n2=(INCOMING, "CR")), "n1→n2 (25 %)"),
        (told(n1=(OUT, "PW"), n2=(RUNNING, "CR")), "n1→n2"),
        (told(claim=CLAIM, n1=(RUNNING, None), n2=(INCOMING, None)), "n1→n2"),
        (told(pending="Migrating", n1=(RUNNING, None), n2=(INCOMING, None)), "n1→n2"),
        (told(claim=CLAIM, n1=(RUNNING, "PW"), n2=ABSENT), "n1→n2"),
        (told(n1=(RUNNING, "PW"), n2=ABSENT), "n1→…"),
    ],
)
def test_a_move_in_progress(testimony: state.Testimony, word: str) -> None:
    assert state.word(testimony)[0] == f"moving {word}"


@pytest.mark.parametrize("modes", [("EX", None), ("PW", "CR"), ("EX", "EX"), (None, None)])
@pytest.mark.parametrize("claim", [None, CLAIM])
def test_two_that_execute_run_twice_whatever_else_is_going_on(
    modes: tuple[str | None, str | None], claim: Claim | None
) -> None:
    word, node = state.word(told(claim=claim, pending="Migrating", n1=(RUNNING, modes[0]), n2=(RUNNING, modes[1])))
    assert word == "RUNNING TWICE: n1 and n2"
    assert node is None


@pytest.mark.parametrize(("mode", "word"), [(None, "RUNNING TWICE: n1 and n2"), ("CR", "moving n1→n2")])
def test_a_process_that_libvirt_does_not_list_counts_as_executing_unless_it_sits_in_a_seat(
    mode: str | None, word: str
) -> None:
    testimony = told(n1=(RUNNING, "PW"), n2=(INCOMING, mode))
    assert state.word(replace(testimony, domains={"n1": RUNNING, "n2": None}))[0] == word


def test_a_halted_second_copy_that_no_move_explains_is_named() -> None:
    assert state.word(told(n1=(RUNNING, "EX"), n2=(domain("paused", "user"), None)))[0] == "TWO COPIES: n1 and n2"


def test_three_copies_are_never_a_move() -> None:
    found, _ = state.word(told(claim=CLAIM, n1=(RUNNING, "PW"), n2=(INCOMING, "CR"), n3=(INCOMING, None)))
    assert found == "TWO COPIES: n1 and n2 and n3"


@pytest.mark.parametrize("on", [(), ("n1",), ("n3",)])
def test_no_copy_found_and_a_silent_node_is_unknown_and_never_stopped(on: tuple[str, ...]) -> None:
    found, node = state.word(told(on, n1=ABSENT, n2=ABSENT, n3=SILENT))
    assert found.startswith("UNKNOWN: n3 did not answer")
    assert node is None


def test_a_running_copy_is_shown_with_the_doubt_that_is_left() -> None:
    assert state.word(told(n1=(RUNNING, "EX"), n3=SILENT)) == ("running on n1; unknown on n3", "n1")


FACTS = HostFacts("n1", "b", "1", True, True, None, None, None, (), (), (), None, {"u1": "ABSENT", "u2": "UNKNOWN"})
DEFINED = (Domain("new", "u3", "shut off", persistent=True), Domain("web", "u2", "shut off", persistent=True))
DYING = (Qemu("u3", 7, 100, "D"),)


@pytest.mark.parametrize(
    ("node", "uuid", "presence"),
    [
        (NodeView("n1", online=True, facts=FACTS), "u1", "ABSENT"),
        (NodeView("n1", online=True, facts=FACTS), "u2", "UNKNOWN"),
        (NodeView("n1", online=True, facts=FACTS), "not in its CIB yet", "ABSENT"),
        (NodeView("n1", online=True, facts=replace(FACTS, domains=DEFINED)), "u3", "ABSENT"),
        (NodeView("n1", online=True, facts=replace(FACTS, domains=DEFINED)), "u2", "UNKNOWN"),
        (NodeView("n1", online=True, facts=replace(FACTS, domains=DEFINED, qemus=DYING)), "u3", "PRESENT"),
        (NodeView("n1", online=True, facts=replace(FACTS, domains=(Domain("new", "u3", "paused"),))), "u3", "PRESENT"),
        (NodeView("n1", online=False, facts=FACTS), "u2", "UNKNOWN"),
        (NodeView("n1", online=True), "u1", "UNKNOWN"),
        (NodeView("n1", online=False, unclean=True), "u1", "UNKNOWN"),
        (NodeView("n1", online=False, pending=True), "u1", "UNKNOWN"),
        (NodeView("n1", online=False), "u1", "UNKNOWN"),  # fell silent in a cluster without fencing
        (NodeView("n1", online=False, down=True), "u1", "ABSENT"),
    ],
)
def test_only_a_node_that_says_so_or_was_fenced_is_absent(node: NodeView, uuid: str, presence: str) -> None:
    assert state.presence(node, uuid, "web") == presence
