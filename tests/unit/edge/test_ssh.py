"""The runner over a real sshd on loopback: commands, files, host keys, deadlines, threads."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hacluster.edge import ssh
from hacluster.edge.ssh import NodeRunner
from hacluster.ports import NodeFile, Unreachable
from hacluster.problems import Refused

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("sshd") and not Path("/usr/sbin/sshd").exists(), reason="no sshd"),
]


class Sshd:
    """A private ssh server: its own host key, port and authorized key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for name in ("host", "client"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        (folder / ".ssh").mkdir(mode=0o700)
        (folder / "client").rename(folder / ".ssh" / "id_ed25519")
        Path("/run/sshd").mkdir(exist_ok=True)
        options = {
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "client.pub",
            "PermitRootLogin": "prohibit-password",
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "ListenAddress": "127.0.0.1",
        }
        flags = [flag for name, value in options.items() for flag in ("-o", f"{name}={value}")]
        self.process = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", str(self.port), *flags], stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError("sshd did not start")

    def trust(self, key: str | None = None) -> None:
        """Put a host key for this server (its own one when none is given) into known_hosts."""
        key = key or (self.folder / "host.pub").read_text()
        (self.folder / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {' '.join(key.split()[:2])}\n")

    def runner(self) -> NodeRunner:
        """A runner for which node n9 is this server."""
        return NodeRunner({"n9": "127.0.0.1"}, here="n1", port=self.port)


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    server = Sshd(tmp_path)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(10)


def test_a_command_keeps_its_arguments_input_and_exit_code(sshd: Sshd) -> None:
    sshd.trust()
    done = sshd.runner().run("n9", ["sh", "-c", 'cat; printf "%s|" "$@" >&2; exit 7', "x", "a b", "$HOME"], stdin=b"in")
    assert (done.code, done.out, done.err) == (7, b"in", b"a b|$HOME|")


def test_large_input_and_output_pass_at_once(sshd: Sshd) -> None:
    sshd.trust()
    sent = b"y" * (5 << 20)
    assert sshd.runner().run("n9", ["cat"], stdin=sent).out == sent


def test_an_unknown_host_key_is_refused_and_not_learnt(sshd: Sshd) -> None:
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            sshd.runner().run("n9", ["true"])
        assert [p.code for p in refused.value.problems] == [ssh.UNKNOWN_HOST.code]
        assert "ssh root@127.0.0.1" in refused.value.problems[0].remedy


def test_a_changed_host_key_is_refused(sshd: Sshd) -> None:
    sshd.trust((sshd.folder / "client.pub").read_text())
    with pytest.raises(Refused) as refused:
        sshd.runner().run("n9", ["true"])
    assert [p.code for p in refused.value.problems] == [ssh.CHANGED_HOST.code]


def test_a_key_the_node_does_not_accept_is_refused(sshd: Sshd) -> None:
    sshd.trust()
    (sshd.folder / "client.pub").write_text("")
    with pytest.raises(Refused) as refused:
        sshd.runner().run("n9", ["true"])
    assert [p.code for p in refused.value.problems] == [ssh.NO_LOGIN.code]


def test_the_deadline_holds_and_the_connection_serves_on(sshd: Sshd) -> None:
    sshd.trust()
    runner = sshd.runner()
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="in time"):
        runner.run("n9", ["sleep", "30"], deadline=1)
    assert time.monotonic() - begun < 3
    assert runner.run("n9", ["echo", "still here"]).out == b"still here\n"


def test_a_connection_that_died_is_opened_anew(sshd: Sshd) -> None:
    sshd.trust()
    runner = sshd.runner()
    runner.run("n9", ["true"])
    transport = runner._clients["n9"].get_transport()
    assert transport is not None
    transport.sock.shutdown(socket.SHUT_RDWR)
    assert runner.run("n9", ["echo", "again"]).out == b"again\n"


def test_a_server_that_accepts_and_says_nothing_costs_the_connect_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "_CONNECT_LIMIT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        runner = NodeRunner({"n9": "127.0.0.1"}, here="n1", port=silent.getsockname()[1])
        begun = time.monotonic()
        with pytest.raises(Unreachable):
            runner.run("n9", ["true"], deadline=20)
        assert time.monotonic() - begun < 3


def test_files_are_written_whole_with_their_modes_and_folders(sshd: Sshd) -> None:
    sshd.trust()
    target = sshd.folder / "new folder" / "deep" / "it's.xml"
    other = target.with_name("other")
    content = bytes(range(256)) * 1000
    for _ in range(2):
        sshd.runner().put("n9", [NodeFile(str(target), content, 0o640), NodeFile(str(other), b"\n")])
    assert (target.read_bytes(), other.read_bytes()) == (content, b"\n")
    assert [path.stat().st_mode & 0o777 for path in (target, other)] == [0o640, 0o600]
    assert {path.stat().st_mode & 0o777 for path in (target.parent, target.parents[1])} == {0o700}
    assert sorted(target.parent.iterdir()) == [target, other]


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(sshd: Sshd) -> None:
    sshd.trust()
    (sshd.folder / "plain").write_text("")
    with pytest.raises(OSError, match=r"n9: .*plain/file"):
        sshd.runner().put("n9", [NodeFile(str(sshd.folder / "plain" / "file"), b"")])


def test_where_one_file_cannot_be_written_none_takes_its_place_and_nothing_is_left(sshd: Sshd) -> None:
    sshd.trust()
    (sshd.folder / "plain").write_text("")
    first = sshd.folder / "files" / "first"
    with pytest.raises(OSError, match="plain"):
        sshd.runner().put("n9", [NodeFile(str(first), b"new"), NodeFile(str(sshd.folder / "plain" / "file"), b"")])
    assert list(first.parent.iterdir()) == []


def test_many_threads_share_one_connection(sshd: Sshd) -> None:
    sshd.trust()
    runner = sshd.runner()
    start = threading.Barrier(8)

    def echo(number: int) -> bytes:
        start.wait()
        return runner.run("n9", ["sh", "-c", f"sleep 0.1; echo {number}"]).out

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(echo, range(8)))
    assert answers == [f"{n}\n".encode() for n in range(8)]
    assert len(runner._clients) == 1


def test_here_is_a_child_process_and_needs_no_ssh() -> None:
    assert NodeRunner(here="n1").run("n1", ["cat"], stdin=b"local").out == b"local"
