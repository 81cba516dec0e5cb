"""QEMU's monitor and the guest agent, told one thing a connection, beside events and others' half answers."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster.lab.machines import channel
from hacluster.lab.machines.guest import Guest


class Other:
    """The other side: for each line it is sent, it sends what `answer` makes of it."""

    def __init__(self, path: Path) -> None:
        self.greeting = b""
        self.asked: list[dict[str, object]] = []
        self.answers: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, client.makefile("rb") as lines:
                client.sendall(self.greeting)
                for line in lines:
                    question = json.loads(line.lstrip(b"\xff"))
                    if question["execute"] == "guest-sync-delimited":
                        number = json.dumps({"return": question["arguments"]["id"]}).encode()
                        client.sendall(b'{"return": {"half of an old ans\xff' + number + b"\n")
                        continue
                    self.asked.append(question)
                    client.sendall(self.answers.pop(0))

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Other]:
    side = Other(tmp_path / "socket")
    yield side
    side.close()


def test_events_are_no_answers(other: Other, tmp_path: Path) -> None:
    other.greeting = b'{"QMP": {}}\n'
    other.answers = [b'{"return": {}}\n', b'{"event": "STOP"}\n{"return": {"status": "paused"}}\n']
    assert channel.ask_qemu(tmp_path / "socket", "query-status") == {"status": "paused"}


def test_an_old_half_answer_is_not_taken_for_the_new_one(other: Other, tmp_path: Path) -> None:
    other.answers = [b'{"return": {}}\n']
    assert Guest(tmp_path / "socket").answers()


def test_a_refusal_is_told_apart_from_silence(other: Other, tmp_path: Path) -> None:
    other.answers = [b'{"error": {"desc": "no such command"}}\n']
    with pytest.raises(channel.Declined, match="no such command"):
        channel.ask_agent(tmp_path / "socket", "nonsense")
    with pytest.raises(channel.NoAnswer):
        channel.ask_agent(tmp_path / "nobody", "guest-ping")


def test_a_silent_agent_does_not_keep_anybody_for_ever(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "socket"))
        silent.listen()
        assert not Guest(tmp_path / "socket").answers(within=0.1)


def test_a_command_is_bounded_and_its_output_and_code_come_back(other: Other, tmp_path: Path) -> None:
    other.answers = [
        b'{"return": {"pid": 7}}\n',
        b'{"return": {"exited": false}}\n',
        b'{"return": {"exited": true, "exitcode": 3, "out-data": "b3V0", "err-data": "ZXJy"}}\n',
    ]
    done = Guest(tmp_path / "socket").run(["false"], stdin="in", timeout=5)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out", "err")
    arguments = other.asked[0]["arguments"]
    assert isinstance(arguments, dict)
    assert (arguments["path"], arguments["arg"], arguments["input-data"]) == (
        "/usr/bin/timeout", ["--kill-after=1", "5", "false"], "aW4=",
    )  # fmt: skip
