"""What an admin reads of an audit and of the run-locks, and the exit codes that scripts read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import cast

import pytest
import typer

from hacluster.cli import lock as lock_commands
from hacluster.cli import verify as verify_command
from hacluster.observe.barriers import Barriers
from hacluster.ports import HeldLock, Released, Unknown
from hacluster.problems import Refused
from tests.unit.observe import test_read as small
from tests.unit.verify.test_audit import NO_LEASES, Facts
from tests.unit.verify.test_locks import LEFT, NONCE, facts, world
from tests.unit.verify.test_verify import Cluster, left_over

Out = Callable[[], str]
NOT_GIVEN = cast(str, None)
"""What typer hands over for an option without a value; its own signatures call that a text."""


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Out:
    """What was printed since the last question, with single blanks."""
    return lambda: " ".join("".join(capsys.readouterr()).split())


def audited(monkeypatch: pytest.MonkeyPatch, cluster: Cluster, *, as_json: bool = False) -> int:
    monkeypatch.setattr(verify_command, "connect", lambda _node: cluster.world)
    try:
        verify_command.verify(NOT_GIVEN, as_json)
    except typer.Exit as end:
        return int(end.exit_code)
    return 0


def test_a_cluster_in_order_exits_0_and_shows_each_barrier(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    assert audited(monkeypatch, Cluster(NO_LEASES)) == 0
    shown = out()
    assert "n1 online 1 stands answers none 2.1.5" in shown
    assert "web running on n1 EX n1 every node block this node only none paused" in shown
    assert shown.endswith("nothing is wrong")


def test_any_finding_exits_1_also_a_warning(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    assert audited(monkeypatch, Cluster(left_over())) == 1
    shown = out()
    assert "1 finding" in shown
    assert "warning HA509 vm web: n2 holds the run-lock of web (EX)" in shown
    assert "→ hactl lock clear web --node n2" in shown


def test_machines_get_one_document_and_the_same_exit_code(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    assert audited(monkeypatch, Cluster(left_over()), as_json=True) == 1
    told = json.loads(out())
    assert [problem["code"] for problem in told["problems"]] == ["HA509"]


def test_a_silent_node_is_shown_as_unknown(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    assert audited(monkeypatch, Cluster({**NO_LEASES, "n2": Unknown("no answer")})) == 1
    assert "n2 online – ? ? ? 2.1.5" in out()


@pytest.mark.parametrize(
    ("fencing", "unfenceable", "word"),
    [(True, (), "every node"), (True, ("n2",), "[red]not n2[/]"), (False, (), "[red]off[/]")],
)
def test_fencing_is_told_in_a_word(fencing: bool, unfenceable: tuple[str, ...], word: str) -> None:
    assert verify_command._fencing(Barriers(fencing, unfenceable, True, "node", "none", "paused")) == word


def using(monkeypatch: pytest.MonkeyPatch, told: Facts, answer: Released | None = None) -> None:
    monkeypatch.setattr(lock_commands, "connect", lambda _node=None: world(told, answer))


def test_locks_are_listed_with_their_move_and_what_is_there(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    using(monkeypatch, {**small.WELL, "n2": facts("n2", HeldLock(small.UUID, "CR", NONCE, "n2"))})
    lock_commands.list_(NOT_GIVEN, False)
    shown = out()
    assert "web n1 sealed (EX)" in shown
    assert f"web n2 seat (CR) – {NONCE} to n2 no copy {small.UUID}" in shown
    using(monkeypatch, {"n1": facts("n1"), "n2": Unknown("no answer")})
    lock_commands.list_(NOT_GIVEN, False)
    assert out() == "no node holds a run-lock n2: not known (no answer)"


def test_a_lock_is_shown_with_its_block_in_words(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    using(monkeypatch, LEFT)
    lock_commands.show("web", NOT_GIVEN, False)
    shown = out()
    assert "n2: sealed (EX): admits nobody" in shown
    assert "n2 no – sealed (EX)" in shown
    lock_commands.show("web", NOT_GIVEN, True)
    told = json.loads(out())
    assert (told["vm"], [row["node"] for row in told["locks"]]) == ("web", ["n2"])


def test_a_dry_run_asks_the_node_nothing(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    using(monkeypatch, LEFT)
    lock_commands.clear("web", NOT_GIVEN, True)
    assert out() == "n2 would be asked to give the lock of web back (EX); nothing was done"


def test_what_was_cleared_is_told_and_shown(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    using(monkeypatch, LEFT, Released(True, "EX"))
    lock_commands.clear("web", NOT_GIVEN, False)
    assert out().startswith("n2 gave the run-lock of web back (EX): it proved that the VM is not there web ")


def test_a_refusal_is_the_nodes_own_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    using(monkeypatch, LEFT, Released(False, "EX", "its absence is not proved: libvirt does not answer"))
    with pytest.raises(Refused, match="libvirt does not answer"):
        lock_commands.clear("web", NOT_GIVEN, False)
