"""Sending the probe: who answers, who does not, whose clock is how far off, and the program itself."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hacluster.edge.ssh import CHANGED_HOST
from hacluster.ports import Completed, NodeFile, Unknown, Unreachable
from hacluster.problems import Refused
from hacluster.survey import ask, probe
from hacluster.survey.facts import Host, read
from tests.unit.survey.recorded import cluster, told


class Time:
    """A clock that stands at 1000."""

    def now(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 1000.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


class Three:
    """n1 answers, with a clock 2.5 s ahead; n2 is down; n3 has another key, or ends with an error."""

    def __init__(self, n3: Completed | None = None) -> None:
        self.n3 = n3
        self.sent: dict[str, bytes] = {}

    def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        if node == "n2":
            raise Unreachable("n2 does not answer")
        if node == "n3":
            if self.n3 is None:
                raise Refused(CHANGED_HOST("n3 shows another key", where="n3"))
            return self.n3
        if argv[0] == "date":
            return Completed(0, b"1002.5\n", b"")
        self.sent[node] = stdin
        assert json.loads(argv[-1])["peers"].keys() == {"n2", "n3"}
        return Completed(0, json.dumps(told()[node]).encode(), b"")

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        raise AssertionError


def test_who_does_not_answer_is_unknown_and_the_others_are_asked_all_the_same() -> None:
    runner, lines = Three(), list[str]()
    found = ask.ask(cluster(), runner, Time(), lines.append)
    n1 = found.survey["n1"]
    assert isinstance(n1, Host) and (n1.skew, n1.doubt) == (2.5, 0.0)
    assert isinstance(found.survey["n2"], Unknown) and isinstance(found.survey["n3"], Unknown)
    assert [problem.code for problem in found.refused] == ["HA602"]
    assert found.baseline is None  # of three hosts only one said what it can give
    assert sorted(lines) == ["n1 has answered", "n2 did not answer", "n3 did not answer"]
    assert runner.sent["n1"] == Path(probe.__file__).read_bytes()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Completed(127, b"", b"sh: 1: python3: not found\n"), "python3: not found"),
        (Completed(0, b"Welcome to n3!\n{}", b""), "no JSON"),
    ],
)
def test_a_host_without_python_or_with_a_greeting_is_unknown(answer: Completed, reason: str) -> None:
    found = ask.ask(cluster(), Three(answer), Time(), lambda _line: None).survey["n3"]
    assert isinstance(found, Unknown) and reason in found.reason


def test_the_program_is_of_an_old_python_and_of_the_standard_library_only() -> None:
    tree = ast.parse(Path(probe.__file__).read_text(), feature_version=(3, 6))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in named} <= sys.stdlib_module_names - {"__future__", "dataclasses"}


def test_the_program_answers_on_this_machine_as_it_would_elsewhere() -> None:
    peer = {"ssh": "127.0.0.1", "uri": "test:///nowhere", "migration": "127.0.0.1", "ports": [1], "addresses": []}
    asked = json.dumps({"devices": ["/dev/null", "/no/such"], "peers": {"me": peer}})
    script = Path(probe.__file__).read_bytes()
    done = subprocess.run(
        [sys.executable, "-I", "-", asked], input=script, capture_output=True, timeout=120, check=True
    )
    host = read("me", done.stdout)
    assert isinstance(host, Host)
    assert host.memory is not None and host.memory.total > host.memory.available > 0
    assert host.devices is not None and not host.devices["/dev/null"].block and not host.devices["/no/such"].exists
    assert host.peers is not None and host.peers["me"] is not None and host.peers["me"].ports["1"] == "refused"


class TestParts:
    """What the program makes of a tool's words. multipathd's are as its manual has them, not recorded from a SAN."""

    @pytest.fixture
    def says(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int | None, str, str]]:
        words: dict[str, tuple[int | None, str, str]] = {}
        monkeypatch.setattr(probe, "run", lambda argv, timeout=8.0: words.get(" ".join(argv[:3]), (None, "", "")))
        return words

    def test_multipath(self, says: dict[str, Any]) -> None:
        assert probe.multipath() is None
        says["multipathd show maps"] = (0, "mpatha|3600a098|2\nmpathb|3600a099|1\n", "")
        says["multipathd show paths"] = (0, "mpatha|sda|active|ready\nmpatha|sdb|failed|faulty\n||x|y\n", "")
        found = probe.multipath()
        assert found is not None
        assert [(m["name"], m["paths"], m["active"]) for m in found["maps"]] == [  # type: ignore[attr-defined]
            ("mpatha", 2, 1),
            ("mpathb", 0, 0),
        ]

    def test_corosyncs_links(self, says: dict[str, Any]) -> None:
        assert probe.corosync_links() is None
        says["corosync-cfgtool -n"] = (
            0,
            "Local node ID 1, transport knet\nnodeid: 2 reachable\n   LINK: 0 udp (10.0.0.1->10.0.0.2) enabled "
            "connected mtu: 1397\n   LINK: 1 udp (10.0.1.1->10.0.1.2) enabled disconnected mtu: 1397\n\n",
            "",
        )
        assert probe.corosync_links() == {"2": [True, False]}

    @pytest.mark.parametrize(
        ("said", "word"),
        [
            ("No ED25519 host key is known for n2", "key unknown"),
            ("@  WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!  @", "key changed"),
            ("root@n2: Permission denied (publickey).", "login refused"),
            ("ssh: Could not resolve hostname n2", "no address"),
            ("ssh: connect to host n2 port 22: Connection timed out", "silent"),
            ("kex_exchange_identification: read: reset", "failed"),
        ],
    )
    def test_ssh(self, says: dict[str, Any], said: str, word: str) -> None:
        says["ssh -o BatchMode=yes"] = (255, "", said + "\n")
        assert probe.ssh("n2") == {"word": word, "said": said}

    @pytest.mark.parametrize(
        ("line", "caught"),
        [
            ("@reboot root virsh start web", True),
            ("0 4 * * * root virsh list --all", False),
            ("# @reboot root virsh start web", False),
            ("@reboot root {script} web", True),
            ("@reboot root {harmless}", False),
        ],
    )
    def test_starters(self, line: str, caught: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script, harmless, crontab = tmp_path / "vms", tmp_path / "backup", tmp_path / "crontab"
        script.write_text("#!/bin/sh\nfor vm in $*; do\n  virsh -c qemu:///system create $vm\ndone\n")
        harmless.write_text("#!/bin/sh\nvirsh domblklist web\n")
        crontab.write_text("SHELL=/bin/sh\n" + line.format(script=script, harmless=harmless) + "\n")
        found = {"/etc/cron.d/*": [str(crontab)]}
        monkeypatch.setattr(probe, "glob", SimpleNamespace(glob=lambda pattern: found.get(pattern, [])))
        assert [each["where"] for each in probe.starters()] == ([f"{crontab}:2"] if caught else [])

    def test_one_part_that_fails_spoils_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken() -> object:
            raise ValueError("an unforeseen make")

        broken.__name__ = "memory"
        monkeypatch.setattr(probe, "memory", broken)
        answer = probe.answer({"devices": [], "peers": {}})
        assert answer["memory"] is None and answer["system"]["hostname"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets are root's")
def test_a_full_frame_passes_on_loopback() -> None:
    assert probe.echo("127.0.0.1", 64) is True
    assert probe.echo("127.0.0.1", 1501) is True
