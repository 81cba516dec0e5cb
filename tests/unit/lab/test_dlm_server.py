"""The lock server and its client over real sockets: one process a connection, one node an address."""

import errno
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster.lab import dlm_client
from hacluster.lab.dlm_client import StandIn

CR, PW, EX = 1, 4, 5
NOQUEUE, VALBLK, PERSISTENT, ORPHAN = 1, 8, 0x80, 0x4000
CODE = str(Path(__file__).parents[3])


def soon(seconds: float = 5) -> float:
    return time.monotonic() + seconds


class Lab:
    """The server with three nodes on loopback addresses; the client under test is a process of n1."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.path = directory / "dlm.sock"
        start = (
            f"import sys; sys.path.insert(0, {CODE!r}); from hacluster.lab.dlm_server import main; main(sys.argv[1:])"
        )
        nodes = "127.0.0.1=n1,127.0.0.2=n2,127.0.0.3=n3"
        self.process = subprocess.Popen(
            [sys.executable, "-IS", "-c", start, str(self.path), f"127.0.0.1:{self.port}", nodes]
        )
        end = soon(10)
        while not self.path.exists():
            assert time.monotonic() < end
            time.sleep(0.01)

    def tell(self, **event: str) -> dict[str, object]:
        with socket.socket(socket.AF_UNIX) as talk:
            talk.connect(str(self.path))
            talk.sendall(json.dumps(event).encode() + b"\n")
            return dict(json.loads(talk.recv(65536)))

    def process_of(self, number: int) -> "Line":
        return Line(socket.create_connection(("127.0.0.1", self.port), 5, source_address=(f"127.0.0.{number}", 0)))


class Line:
    """A process of another node, by hand."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self.file = line.makefile("rw")

    def say(self, **request: object) -> None:
        self.file.write(json.dumps({"lockspace": "hacluster", **request}) + "\n")
        self.file.flush()

    def hear(self) -> dict[str, object]:
        return dict(json.loads(self.file.readline()))

    def ask(self, **request: object) -> object:
        self.say(**request)
        return self.hear()["rc"]

    def close(self) -> None:
        self.file.close()
        self.line.close()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    (tmp_path / "conf").write_text(f"127.0.0.1 1\n127.0.0.1 {lab.port}\n")  # the first link is dead
    monkeypatch.setattr(dlm_client, "CONFIGURATION", str(tmp_path / "conf"))
    yield lab
    lab.process.terminate()
    lab.process.wait(10)


def joined() -> StandIn:
    port = StandIn("hacluster")
    port.connect(soon())
    port.join(soon())
    return port


def test_a_lock_is_taken_converted_and_given_back(lab: Lab) -> None:
    del lab
    port = joined()
    assert port.members(soon()) == ("n1",)
    grant = port.lock("u", EX, flags=NOQUEUE | PERSISTENT | VALBLK, deadline=soon())
    assert (grant.value, grant.value_valid) == (bytes(32), True)
    again = port.convert(grant.lkid, PW, flags=VALBLK, value=b"n" * 32, deadline=soon())
    assert again.lkid == grant.lkid
    (row,) = port.list(soon())
    assert (row["resource"], row["node"], row["mode"], row["value"]) == ("u", "n1", "PW", (b"n" * 32).hex())
    port.unlock(grant.lkid, deadline=soon())
    assert port.list(soon()) == ()


def test_a_refusal_is_an_oserror_with_the_dlms_number(lab: Lab) -> None:
    other = lab.process_of(2)
    other.ask(op="join")
    other.ask(op="lock", resource="u", mode="EX", flags=["PERSISTENT"])
    port = joined()
    for flags, number in ((NOQUEUE, errno.EAGAIN), (ORPHAN | PERSISTENT, errno.ENOENT)):
        with pytest.raises(OSError) as no:
            port.lock("u", EX, flags=flags, deadline=soon())
        assert no.value.errno == number


def test_the_address_says_who_speaks(lab: Lab) -> None:
    other = lab.process_of(3)
    other.ask(op="join", node="n1")
    assert joined().members(soon()) == ("n1", "n3")


def test_a_stranger_is_turned_away(lab: Lab) -> None:
    stranger = lab.process_of(9)
    with pytest.raises((OSError, json.JSONDecodeError)):
        stranger.ask(op="ping")


def test_a_process_that_ends_leaves_an_orphan_that_the_next_adopts(lab: Lab) -> None:
    del lab
    first = joined()
    lkid = first.lock("u", EX, flags=NOQUEUE | PERSISTENT, deadline=soon()).lkid
    first.close()
    second = joined()
    end = soon()
    while True:  # the server learns of the end of a process a moment later, as the kernel does
        try:
            adopted = second.lock("u", EX, flags=NOQUEUE | PERSISTENT | ORPHAN, deadline=soon())
            break
        except OSError as no:
            assert no.errno == errno.ENOENT
            assert time.monotonic() < end
    assert adopted.lkid == lkid


def test_a_deadline_is_a_timeout_and_the_request_is_withdrawn(lab: Lab) -> None:
    other = lab.process_of(2)
    other.ask(op="join")
    other.say(op="lock", resource="u", mode="EX", flags=["PERSISTENT"])
    lkid = other.hear()["lkid"]
    port = joined()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        port.lock("u", EX, flags=PERSISTENT, deadline=soon(0.3))
    assert 0.25 < time.monotonic() - began < 1
    other.ask(op="unlock", lkid=lkid)
    assert joined().list(soon()) == ()


def test_nothing_is_answered_until_the_dead_node_is_fenced(lab: Lab) -> None:
    dead = lab.process_of(2)
    dead.ask(op="join")
    dead.ask(op="lock", resource="u", mode="EX", flags=["PERSISTENT"])
    port = joined()
    lab.tell(op="off", node="n2")
    with pytest.raises(TimeoutError):
        port.lock("u", EX, flags=NOQUEUE, deadline=soon(0.3))
    lab.tell(op="fenced", node="n2")
    assert joined().lock("u", EX, flags=NOQUEUE, deadline=soon()).lkid


def test_the_dump_shows_who_is_dead(lab: Lab) -> None:
    joined()
    lab.tell(op="off", node="n1")
    spaces = lab.tell(op="dump")["lockspaces"]
    assert isinstance(spaces, dict)
    assert spaces["hacluster"]["unfenced"] == ["n1"]


def test_without_a_connection_there_is_no_answer() -> None:
    with pytest.raises(OSError) as no:
        StandIn("hacluster").join(soon())
    assert no.value.errno == errno.ENOTCONN


def test_an_unreachable_server_is_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").write_text("127.0.0.1 1\n")
    monkeypatch.setattr(dlm_client, "CONFIGURATION", str(tmp_path / "conf"))
    with pytest.raises(TimeoutError):
        StandIn("hacluster").connect(soon(0.2))


def test_the_client_imports_nothing_that_an_agent_cannot_afford() -> None:
    place = str(Path(dlm_client.__file__).parent)
    look = f"import sys; sys.path.insert(0, {place!r}); import dlm_client; print(*sys.modules)"
    done = subprocess.run(["/usr/bin/python3", "-IS", "-c", look], capture_output=True, text=True, check=True)
    assert not {"json", "socket", "typing", "re", "enum", "dataclasses", "hacluster"} & set(done.stdout.split())
