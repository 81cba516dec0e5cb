"""monitor_scripts: asked about a guest that runs, in a recurring monitor and at the end of a start."""

from __future__ import annotations

from pathlib import Path

import pytest

from resource_agents import scripts, virtual_domain, watching
from resource_agents.codes import Failed
from resource_agents.vm import Deadline, Sight, Vm

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"


class Guest:
    """A guest in some state, and a script that says yes or no."""

    def __init__(self, root: Path) -> None:
        self.script = root / "check"
        self.sight = Sight()
        self.sight.letter, self.sight.state = "S", "running"
        self.says("exit 0")

    def says(self, text: str) -> None:
        self.script.write_text(f"#!/bin/sh\n{text}\n")
        self.script.chmod(0o755)

    def vm(self, interval: str = "10000") -> Vm:
        given = {"uuid": UUID, "monitor_scripts": str(self.script), "CRM_meta_interval": interval}
        return Vm({"OCF_RESOURCE_INSTANCE": "web", **{f"OCF_RESKEY_{k}": v for k, v in given.items()}})


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
    made = Guest(tmp_path)
    monkeypatch.setattr(scripts, "look", lambda *_: made.sight)
    monkeypatch.setattr(watching, "examine", lambda *_: 0)
    monkeypatch.setattr(virtual_domain, "look", lambda *_: Sight())
    monkeypatch.setattr(scripts, "POLL", 0.01)
    return made


def test_a_script_that_agrees_is_success(guest: Guest) -> None:
    assert virtual_domain.monitor(guest.vm()) == 0


def test_a_script_that_does_not_is_a_failure_with_its_words(guest: Guest) -> None:
    guest.says("echo no database; exit 3")
    with pytest.raises(Failed, match="check ended with 3: no database"):
        virtual_domain.monitor(guest.vm())


def test_one_that_hangs_ends_with_the_operation(guest: Guest) -> None:
    guest.says("exec sleep 60")
    with pytest.raises(Failed, match="did not end in time"):
        scripts.agree(guest.vm(), Deadline(0.2))


@pytest.mark.parametrize(("state", "interval"), [("paused", "10000"), ("running", "0")], ids=["paused", "a probe"])
def test_a_paused_guest_and_a_probe_ask_nobody(guest: Guest, state: str, interval: str) -> None:
    guest.says("exit 1")
    guest.sight.state = state
    assert virtual_domain.monitor(guest.vm(interval)) == 0


def test_a_start_waits_until_they_agree(guest: Guest) -> None:
    guest.says(f'rm "{guest.script}.first" 2>/dev/null && exit 1; exit 0')
    Path(f"{guest.script}.first").touch()
    scripts.await_agreement(guest.vm(), Deadline(10))
    assert not Path(f"{guest.script}.first").exists()


@pytest.mark.parametrize(("letter", "said"), [("S", "says no"), ("", "ended again")], ids=["it runs", "it has gone"])
def test_a_start_whose_scripts_never_agree_fails(guest: Guest, letter: str, said: str) -> None:
    guest.says("exit 1")
    guest.sight.letter = letter
    with pytest.raises(Failed, match=said):
        scripts.await_agreement(guest.vm(), Deadline(0.2))
