"""A fence agent, run on a node as Pacemaker's fencer runs it: what it reads, and what its end means."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from lxml import etree

from hacluster.cib.compile import compile
from hacluster.edge import fencing
from hacluster.edge.fencing import NodeFencing
from hacluster.edge.ssh import NodeRunner
from hacluster.fencing_proof import SET, Proof, read
from hacluster.ports import Completed, NodeFile, Unknown, Unreachable
from hacluster.problems import Refused
from tests.unit.cib import clusters

QUESTION = (("ip", "a 'b' $c"), ("password", "lrm://"), ("action", "status"))


class Stage:
    """A folder of agents and a secrets store."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "secrets" / "board").mkdir(parents=True)
        (place / "secrets" / "board" / "password").write_text("s3cret $x\n")

    def agent(self, body: str) -> None:
        path = self.place / "fence_thing"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def ask(self, agent: str = "fence_thing", deadline: float = 10.0) -> str | Unknown:
        return NodeFencing(NodeRunner(here="n1")).ask("n1", "board", agent, QUESTION, deadline=deadline)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    script = fencing._ASK.replace(fencing.AGENTS, str(tmp_path)).replace(fencing.SECRETS, str(tmp_path / "secrets"))
    monkeypatch.setattr(fencing, "_ASK", script)
    return Stage(tmp_path)


@pytest.mark.parametrize(("code", "answer"), [(0, "on"), (2, "off")])
def test_an_agents_end_is_its_answer(stage: Stage, code: int, answer: str) -> None:
    stage.agent(f"exit {code}")
    assert stage.ask() == answer


def test_the_agent_reads_the_question_with_its_secret_and_no_argument_shows_it(stage: Stage) -> None:
    stage.agent(f'cat >{stage.place}/read; echo "$*" >{stage.place}/argv')
    assert stage.ask() == "on"
    assert (stage.place / "read").read_text() == "ip=a 'b' $c\npassword=s3cret $x\naction=status\n"
    assert (stage.place / "argv").read_text() == "\n"


def test_a_node_without_the_secret_says_so(stage: Stage) -> None:
    stage.agent("exit 0")
    (stage.place / "secrets" / "board" / "password").unlink()
    assert stage.ask() == Unknown("its secrets store has no password for board")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo '2026-01-02 03:04:05,678 ERROR: Failed: Unable to obtain correct plug status' >&2; exit 1",
         "Failed: Unable to obtain correct plug status"),
        ("exit 3", "fence_thing ended with exit code 3"),
        ("sleep 30", "fence_thing did not answer within 1 s"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_unknown_with_its_reason(stage: Stage, body: str, reason: str) -> None:
    stage.agent(body)
    assert stage.ask(deadline=1.0) == Unknown(reason)


def test_an_agent_that_is_not_there_is_unknown(stage: Stage) -> None:
    assert stage.ask("fence_other") == Unknown("it has no fence_other")


@pytest.mark.parametrize("name", ["external/ssh", "fence_../thing", "sh"])
def test_nothing_but_a_fence_agent_is_run(stage: Stage, name: str) -> None:
    answer = stage.ask(name)
    assert isinstance(answer, Unknown)
    assert "no fence agent" in answer.reason


class Node:
    """The Runner port, answering one command; it keeps what it was asked."""

    def __init__(self, *answers: Completed | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, list[str]]] = []

    def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        self.asked.append((node, list(argv)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        raise NotImplementedError


def test_a_boot_id_that_cannot_be_read_is_unknown() -> None:
    node = Node(Completed(0, b"abc\n", b""), Completed(0, b"", b""), Unreachable("n1 is away"))
    fence = NodeFencing(node)
    assert fence.boot_id("n1") == "abc"
    assert isinstance(fence.boot_id("n1"), Unknown)
    assert fence.boot_id("n1") == Unknown("n1 is away")


def test_pacemaker_is_asked_to_fence_on_another_node() -> None:
    node = Node(Completed(0, b"", b""), Completed(1, b"", b"x\nTimer expired\n"), Unreachable("n1 is away"))
    fence = NodeFencing(node)
    assert [fence.fence("n1", "n3", deadline=60) for _ in range(3)] == ["", "Timer expired", "n1 is away"]
    assert node.asked[0] == ("n1", ["stonith_admin", "--reboot=n3", "--timeout=60"])


def test_pacemaker_leaves_and_enters_and_corosync_stays() -> None:
    node = Node(Completed(0, b"", b""), Completed(5, b"", b""))
    fence = NodeFencing(node)
    assert (fence.leave("n3"), fence.enter("n3")) == ("", "systemctl ended with exit code 5")
    assert [argv for _, argv in node.asked] == [["systemctl", verb, "pacemaker"] for verb in ("stop", "start")]


@pytest.mark.tools
@pytest.mark.skipif(not shutil.which("crm_attribute"), reason="no Pacemaker tools")
def test_what_is_remembered_stands_in_the_cib_and_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cib.xml"
    file.write_bytes(compile(clusters.cluster()))
    monkeypatch.setenv("CIB_file", str(file))
    for at in (1, 2):
        made = Proof("n1", at, ("ipmi-n1", "pdu"), "abc+def")
        NodeFencing(NodeRunner(here="n1")).remember("n1", SET, made.name, made.value)
    assert read(etree.parse(str(file)).getroot()) == {"n1": made}


def test_what_the_cluster_does_not_take_is_said() -> None:
    with pytest.raises(Refused, match="HA551"):
        NodeFencing(Node(Completed(1, b"", b"no"))).remember("n1", "set", "name", "value")
