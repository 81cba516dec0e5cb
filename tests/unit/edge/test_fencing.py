"""A fence agent, run on a node as Pacemaker's fencer runs it: what it reads, and what its end means."""

from __future__ import annotations

from pathlib import Path

import pytest

from hacluster.edge import fencing
from hacluster.edge.fencing import NodeFencing
from hacluster.edge.ssh import NodeRunner
from hacluster.ports import Unknown

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
