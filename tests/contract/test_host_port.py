"""The Host port of bootstrap: one suite over machines in memory and over a real sshd in a network of its own."""

import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hacluster.bootstrap import steps
from hacluster.bootstrap.host import Host
from hacluster.bootstrap.keys import Keys, Trust
from hacluster.bootstrap.naming import Naming
from hacluster.bootstrap.steps import Site
from hacluster.edge import ssh
from hacluster.edge.bare import BareHost
from hacluster.edge.ssh import NodeRunner
from hacluster.ports import NodeFile, Unreachable
from hacluster.problems import Refused
from tests.bare_machines import Machine
from tests.sshd import Sshd, network
from tests.unit.bootstrap.conftest import SPEC, cluster_of

REAL = pytest.param("sshd", marks=pytest.mark.root)


@pytest.fixture(params=["memory", REAL])
def host(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    if request.param == "memory":
        yield Machine("n1")
        return
    with _real(tmp_path, monkeypatch) as server:
        runner = NodeRunner({"n1": server.address}, here="elsewhere", pins={"n1": server.host_key})
        try:
            yield BareHost(runner, "n1")
        finally:
            runner.close()


def _real(folder: Path, monkeypatch: pytest.MonkeyPatch) -> "network":
    if not shutil.which("unshare") or not Path("/usr/sbin/sshd").exists():
        pytest.skip("no sshd, or no namespaces")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return network(folder)


def test_a_command_keeps_its_input_and_output(host: Host) -> None:
    done = host.run(["cat"], stdin=b"what goes in")
    assert (done.code, done.out) == (0, b"what goes in")


def test_a_command_that_fails_says_so(host: Host) -> None:
    assert host.run(["false"]).code == 1


def test_a_program_that_is_not_there_is_127(host: Host) -> None:
    assert host.run(["hactl-has-no-such-program"]).code == 127


def test_a_command_that_does_not_end_is_unreachable(host: Host) -> None:
    with pytest.raises(Unreachable):
        host.run(["sleep", "60"], deadline=1.0)


def test_a_file_that_is_not_there_is_none(host: Host) -> None:
    assert host.read("/etc/hacluster-test/none") is None


def test_a_file_is_written_whole_with_its_folders(host: Host) -> None:
    content = bytes(range(256)) * 999
    host.write(NodeFile("/etc/hacluster-test/a folder/it's.conf", content, 0o640))
    assert host.read("/etc/hacluster-test/a folder/it's.conf") == content


def test_a_file_is_replaced(host: Host) -> None:
    for content in (b"a longer first content", b"second"):
        host.write(NodeFile("/etc/hacluster-test/file", content))
    assert host.read("/etc/hacluster-test/file") == b"second"


def test_many_files_are_written_at_once(host: Host) -> None:
    wanted = {f"/etc/hacluster-test/many {n % 3}/{n}": b"%d\n\0" % n * n for n in range(60)}
    host.write(*(NodeFile(path, content) for path, content in wanted.items()))
    assert {path: host.read(path) for path in wanted} == wanted


def test_an_empty_file_is_a_file(host: Host) -> None:
    host.write(NodeFile("/etc/hacluster-test/empty", b""))
    assert host.read("/etc/hacluster-test/empty") == b""


def test_a_removed_file_is_gone_and_may_be_removed_again(host: Host) -> None:
    host.write(NodeFile("/etc/hacluster-test/file", b"x"))
    host.remove("/etc/hacluster-test/file")
    host.remove("/etc/hacluster-test/file")
    assert host.read("/etc/hacluster-test/file") is None


def test_a_folder_is_no_file(host: Host) -> None:
    host.write(NodeFile("/etc/hacluster-test/folder/file", b"x"))
    with pytest.raises(OSError):
        host.read("/etc/hacluster-test/folder")
    with pytest.raises(OSError):
        host.write(NodeFile("/etc/hacluster-test/folder", b"x"))


# --- what only a real sshd can show ---------------------------------------------------------------------------------


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    with _real(tmp_path, monkeypatch) as server:
        yield server


@pytest.mark.root
def test_another_host_key_than_the_pinned_one_is_refused(sshd: Sshd) -> None:
    other = (sshd.folder / "other.pub").read_text()
    for pin in (other, _fingerprint(sshd.folder / "other.pub")):
        with pytest.raises(Refused) as no:
            NodeRunner({"n1": sshd.address}, here="elsewhere", pins={"n1": pin}).run("n1", ["true"])
        problem = no.value.problems[0]
        assert problem.code == ssh.CHANGED_HOST.code
        assert dict(problem.facts) == {
            "expected": _fingerprint(sshd.folder / "other.pub"),
            "shown": _fingerprint(sshd.folder / "host.pub"),
        }


@pytest.mark.root
def test_a_pinned_fingerprint_is_enough(sshd: Sshd) -> None:
    pins = {"n1": _fingerprint(sshd.folder / "host.pub")}
    assert NodeRunner({"n1": sshd.address}, here="elsewhere", pins=pins).run("n1", ["echo", "in"]).out == b"in\n"


@pytest.mark.root
def test_a_pin_goes_before_known_hosts(sshd: Sshd) -> None:
    (sshd.folder / ".ssh" / "known_hosts").write_text(f"{sshd.address} {sshd.host_key}\n")
    pins = {"n1": _fingerprint(sshd.folder / "other.pub")}
    with pytest.raises(Refused):
        NodeRunner({"n1": sshd.address}, here="elsewhere", pins=pins).run("n1", ["true"])


@pytest.mark.root
def test_modes_arrive_and_nothing_is_left_beside_a_file(sshd: Sshd) -> None:
    host = BareHost(NodeRunner({"n1": sshd.address}, here="elsewhere", pins={"n1": sshd.host_key}), "n1")
    path = sshd.etc / "hacluster-test" / "file"
    host.write(NodeFile("/etc/hacluster-test/file", b"x", 0o640))
    assert host.run(["stat", "-c", "%a %U", "/etc/hacluster-test/file"]).out == b"640 root\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in path.parent.iterdir()] == ["file"]


@pytest.mark.root
def test_this_machines_own_files_are_never_touched(sshd: Sshd) -> None:
    host = BareHost(NodeRunner({"n1": sshd.address}, here="elsewhere", pins={"n1": sshd.host_key}), "n1")
    host.write(NodeFile("/etc/hacluster-test/file", b"x"))
    assert not Path("/etc/hacluster-test").exists()


# --- the steps that need no systemd, and the command itself, over it ------------------------------------------------


@pytest.mark.root
def test_steps_are_carried_out_once_and_then_nothing_is_missing(sshd: Sshd) -> None:
    host = BareHost(NodeRunner({"n1": sshd.address}, here="elsewhere", pins={"n1": sshd.host_key}), "n1")
    site = Site(cluster_of(), {"n1": host})
    todo = (Naming(), Keys(), Trust())
    told = [change.headline for each in steps.apply(site, todo, lambda text: None) for change in each.looked.changes]
    assert "write /etc/ssh/ssh_known_hosts" in told
    assert not any(each.looked.changes for each in steps.apply(site, todo, lambda text: None))
    assert host.run(["hostname"]).out == b"n1\n"
    assert b"10.0.1.3\tn3" in (host.read("/etc/hosts") or b"")
    assert host.run(["stat", "-c", "%a", "/root/.ssh/id_ed25519"]).out == b"600\n"
    assert (host.read("/etc/ssh/ssh_known_hosts") or b"").count(b"n1,10.0.1.1,10.0.2.1") == 1


def _spec(sshd: Sshd, pins: Sequence[str], addresses: Sequence[str] = ("127.0.0.1", "127.0.0.2", "127.0.0.3")) -> Path:
    text = SPEC
    for number, (pin, address) in enumerate(zip(pins, addresses, strict=True), 1):
        added = f'[nodes.n{number}]\nssh_host = "{address}"\n' + (f'host_key = "{pin}"\n' if pin else "")
        text = text.replace(f"[nodes.n{number}]\n", added)
    path = sshd.folder / "cluster.toml"
    path.write_text(text)
    return path


def _hactl(*words: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "hacluster", "node", "bootstrap", *words]
    return subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=300)


def _codes(done: "subprocess.CompletedProcess[str]") -> set[tuple[str, str]]:
    return {(p["code"], p["where"]) for p in json.loads(done.stdout)["problems"]}


@pytest.mark.root
def test_the_command_refuses_a_wrong_host_key(sshd: Sshd) -> None:
    wrong = _fingerprint(sshd.folder / "other.pub")
    done = _hactl(str(_spec(sshd, [sshd.host_key, wrong, sshd.host_key])), "--json")
    assert (done.returncode, _codes(done)) == (1, {("HA602", "n2")}), done.stderr


@pytest.mark.root
def test_the_command_takes_no_unknown_host_key_without_an_admin(sshd: Sshd) -> None:
    done = _hactl(str(_spec(sshd, [sshd.host_key, "", sshd.host_key])), "--json")
    assert (done.returncode, _codes(done)) == (1, {("HA601", "n2")}), done.stderr
    assert _fingerprint(sshd.folder / "host.pub") in done.stdout
    assert not (sshd.folder / ".ssh" / "known_hosts").exists()


@pytest.mark.root
def test_the_command_refuses_when_a_node_is_down(sshd: Sshd) -> None:
    path = _spec(sshd, [sshd.host_key] * 3, ("127.0.0.1", "192.0.2.9", "127.0.0.3"))
    done = _hactl(str(path), "--json")
    assert (done.returncode, _codes(done)) == (1, {("HA612", "node n2")}), done.stderr


@pytest.mark.root
def test_the_command_sees_that_three_addresses_are_one_machine(sshd: Sshd) -> None:
    done = _hactl(str(_spec(sshd, [sshd.host_key] * 3)), "--only", "machines", "--dry-run", "--json")
    found = _codes(done)
    assert {("HA615", "node n2"), ("HA615", "node n3")} <= found, done.stderr


@pytest.mark.root
def test_an_unknown_step_is_wrong_usage(sshd: Sshd) -> None:
    assert _hactl(str(_spec(sshd, [sshd.host_key] * 3)), "--only", "everything").returncode == 2


def _fingerprint(path: Path) -> str:
    said = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True).stdout
    return said.split()[1]
