"""The monitor's common path: what it sees, and what it may cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hacluster.guard import state
from hacluster.guard.dlm import CR, EX, PW
from hacluster.guard.state import State
from resource_agents import virtual_domain
from resource_agents.vm import Sight, Vm, look

ROOT = Path(__file__).parents[3]
UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"
# As libvirt 9.0 writes it: a running guest; one whose memory arrives; the same just after a start; and an arrival.
RUNNING = "<domstatus state='running' reason='booted' pid='{pid}'>\n  <monitor path='x' type='unix'/>\n"
ARRIVING = (
    "<domstatus state='paused' reason='migration' pid='{pid}'>\n"
    "  <job type='none' async='migration in' phase='prepare' flags='0x21' asyncStarted='1795169937425'>\n"
)
BEGINNING = (
    "<domstatus state='paused' reason='starting up' pid='{pid}'>\n"
    "  <job type='none' async='migration in' phase='prepare' flags='0x21' asyncStarted='1795169937425'/>\n"
)
ARRIVED = "<domstatus state='paused' reason='user' pid='{pid}'>\n"
LEAVING = RUNNING + "  <job type='none' async='migration out' phase='perform3' flags='0x1'>\n"


class Host:
    """libvirt's status file and a process that looks like the guest's QEMU."""

    def __init__(self, root: Path) -> None:
        self.run = root / "libvirt"
        self.proc = root / "proc"
        self.run.mkdir()

    def qemu(self, pid: int, letter: str = "S", uuid: str = UUID) -> None:
        home = self.proc / str(pid)
        home.mkdir(parents=True)
        (home / "stat").write_text(f"{pid} (qemu) {letter} " + " ".join(["0"] * 18) + " 4711 0\n")
        (home / "cmdline").write_bytes(b"qemu\0-name\0guest=web\0-uuid\0" + uuid.encode() + b"\0-S\0")

    def status(self, text: str, pid: int = 7) -> None:
        (self.run / "web.xml").write_text(text.format(pid=pid) + "</domstatus>")

    def look(self) -> Sight:
        return look("web", UUID, str(self.run), str(self.proc))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize(
    ("text", "seen", "complete"),
    [
        (RUNNING, ("running", "booted", ""), True),
        (BEGINNING, ("paused", "starting up", "migration in"), False),
        (ARRIVING, ("paused", "migration", "migration in"), False),
        (ARRIVED, ("paused", "user", ""), True),
        (LEAVING, ("running", "booted", "migration out"), True),
    ],
    ids=["running", "incoming, begun", "incoming", "arrived", "leaving"],
)
def test_what_a_status_file_says(host: Host, text: str, seen: tuple[str, str, str], complete: bool) -> None:
    host.qemu(7)
    host.status(text)
    sight = host.look()
    assert (sight.state, sight.reason, sight.job) == seen
    assert sight.complete is complete
    assert sight.alive
    assert (sight.pid, sight.start) == (7, 4711)


def test_a_status_file_without_its_process_shows_nobody_alive(host: Host) -> None:
    host.status(RUNNING)
    assert not host.look().alive


def test_a_pid_that_belongs_to_another_vm_by_now_shows_nobody_alive(host: Host) -> None:
    host.qemu(7, uuid=UUID[:-1] + "2")
    host.status(RUNNING)
    assert not host.look().alive


@pytest.mark.parametrize("letter", ["T", "t", "Z", "X"])
def test_a_stopped_or_dying_qemu_is_not_alive(host: Host, letter: str) -> None:
    host.qemu(7, letter)
    host.status(RUNNING)
    assert not host.look().alive


def test_no_status_file_shows_nothing(host: Host) -> None:
    assert (host.look().alive, host.look().complete) == (False, False)


@pytest.mark.parametrize(
    ("claim", "common"),
    [
        (State(EX), True),
        (State(EX, "0123456789abcdef"), False),
        (State(PW), False),
        (State(CR), False),
        (None, False),
    ],
    ids=["sealed", "sealed, its resume still to come", "gate open", "seat", "no claim"],
)
def test_only_running_and_sealed_is_the_common_case(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claim: State | None, common: bool
) -> None:
    host.qemu(7)
    host.status(RUNNING)
    monkeypatch.setattr(state, "RUN", str(tmp_path / "vm"))
    monkeypatch.setattr(virtual_domain, "look", lambda *_: host.look())
    monkeypatch.setattr("resource_agents.watching.examine", lambda *_: 77)
    if claim is not None:
        state.write(UUID, claim)
    values = {"OCF_RESOURCE_INSTANCE": "web", "OCF_RESKEY_uuid": UUID}
    assert virtual_domain.monitor(Vm(values)) == (0 if common else 77)


HEAVY = {"dataclasses", "enum", "typing", "subprocess", "re", "json", "logging", "ctypes", "collections", "hashlib"}


def test_a_common_monitor_imports_next_to_nothing(tmp_path: Path) -> None:
    """Run as on a host (`python3 -IS`), against a guest that runs and is sealed."""
    host = Host(tmp_path)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)", "-uuid", UUID])
    try:
        host.status(RUNNING, sleeper.pid)
        code = f"""
import sys
before = set(sys.modules)
sys.path.insert(0, {str(ROOT)!r})
from hacluster.guard import state
state.RUN = {str(tmp_path / "vm")!r}
from resource_agents import vm, virtual_domain
virtual_domain.look = lambda name, uuid: vm.look(name, uuid, {str(host.run)!r})
state.write({UUID!r}, state.State(5))
code = virtual_domain.run("monitor")
print(code, *sorted(set(sys.modules) - before))
"""
        values = {**os.environ, "OCF_RESOURCE_INSTANCE": "web", "OCF_RESKEY_uuid": UUID}
        result = subprocess.run(
            ["/usr/bin/python3", "-IS", "-c", code], capture_output=True, text=True, env=values, check=True
        )
    finally:
        sleeper.kill()
        sleeper.wait()
    rc, *imported = result.stdout.split()
    assert rc == "0", result.stderr
    assert not HEAVY & set(imported)
    ours = {"hacluster", "hacluster.guard", "hacluster.guard.dlm", "hacluster.guard.state"}
    ours |= {"resource_agents", "resource_agents.codes", "resource_agents.vm", "resource_agents.virtual_domain"}
    assert {name for name in imported if name.startswith(("hacluster", "resource_agents"))} == ours
