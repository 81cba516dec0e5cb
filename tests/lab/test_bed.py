"""The lab itself: it comes up, its nodes die and come back as machines do, and nothing of it is left."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from hacluster.lab.bed import Bed
from hacluster.lab.inventory import look
from hacluster.problems import Refused

from .conftest import SPEC, cluster, lab_name, skip_without_lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

FENCE = """
cibadmin --create -o resources -X "<primitive id='{device}' class='stonith' type='fence_ipmilan'>
<instance_attributes id='{device}-i'><nvpair id='{device}-ip' name='ip' value='{ip}'/>
<nvpair id='{device}-user' name='username' value='admin'/>
<nvpair id='{device}-password' name='password' value='$(cat /etc/hacluster/secrets/{device})'/>
<nvpair id='{device}-lanplus' name='lanplus' value='1'/><nvpair id='{device}-cipher' name='cipher' value='3'/>
<nvpair id='{device}-privlvl' name='privlvl' value='operator'/>
<nvpair id='{device}-hosts' name='pcmk_host_list' value='{node}'/></instance_attributes></primitive>"
"""


def wait(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.2)


def run(bed: Bed, node: str, script: str, timeout: float = 60) -> str:
    done = bed.exec(node, ["sh", "-c", script], timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def reaches(bed: Bed, node: str, address: str) -> bool:
    """Whether the node's sshd can be reached there."""
    return bed.exec(node, ["timeout", "1", "bash", "-c", f"</dev/tcp/{address}/22"]).returncode == 0


def boot_of(bed: Bed, node: str) -> str:
    """The node's boot id; empty while it has none, or loses its power in the middle of the question."""
    try:
        return bed.exec(node, ["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()
    except Refused:
        return ""


@pytest.fixture(scope="module")
def fenced_bed(bed: Bed) -> Iterator[Bed]:
    """The lab with a fence device for each node, without which Pacemaker fences nobody."""
    devices = cluster().fence_devices
    for device in devices:
        run(bed, "n1", FENCE.format(device=device.name, ip=device.parameters["ip"], node=device.targets[0]))
    run(bed, "n1", "crm_resource --wait")
    yield bed
    for device in devices:
        run(bed, "n1", f"cibadmin --delete -o resources -X \"<primitive id='{device.name}'/>\"")


@pytest.fixture(autouse=True)
def everyone_is_back(bed: Bed) -> Iterator[None]:
    yield
    for node in bed.nodes():
        bed.power(node, "on")
        bed.link(node, up=True)
    wait(lambda: bed.online("n1") == {"n1", "n2", "n3"} == bed.online("n3"))


def test_every_node_is_online_and_says_its_own_name(bed: Bed) -> None:
    assert bed.online("n2") == {"n1", "n2", "n3"}
    assert [run(bed, node, "hostname; uname -n") for node in bed.nodes()] == [f"{n}\n{n}" for n in bed.nodes()]


def test_a_node_boots_without_a_failed_unit(bed: Bed) -> None:
    wait(lambda: run(bed, "n1", "systemctl is-system-running || true") not in ("starting", "initializing"))
    assert run(bed, "n1", "systemctl --failed --plain --no-legend") == ""


def test_a_commands_exit_code_and_streams_come_through(bed: Bed) -> None:
    done = bed.exec("n1", ["sh", "-c", "cat; echo two >&2; exit 7"], stdin="one")
    assert (done.returncode, done.stdout, done.stderr) == (7, "one", "two\n")


def test_a_command_that_does_not_end_is_ended(bed: Bed) -> None:
    assert bed.exec("n1", ["sleep", "30"], timeout=1).returncode == 124


def test_ssh_from_any_node_to_any_other_needs_no_word(bed: Bed) -> None:
    for node in bed.nodes():
        names = "n1 n2 n3 10.99.0.12 10.99.1.13 n3-link1"
        assert run(bed, node, f"for n in {names}; do ssh $n hostname; done").split() == [
            "n1",
            "n2",
            "n3",
            "n2",
            "n3",
            "n3",
        ]


def test_each_node_has_its_own_host_key_and_its_own_boot(bed: Bed) -> None:
    assert len({run(bed, node, "cat /etc/ssh/ssh_host_ed25519_key.pub") for node in bed.nodes()}) == 3
    assert len({boot_of(bed, node) for node in bed.nodes()}) == 3


def test_one_disk_is_another_device_file_on_each_node(bed: Bed) -> None:
    run(bed, "n1", "printf hello | dd of=/dev/lab/db bs=512 seek=60 conv=notrunc,sync oflag=direct 2>/dev/null")
    assert run(bed, "n2", "dd if=/dev/lab/db bs=512 skip=60 count=1 iflag=direct 2>/dev/null | head -c5") == "hello"
    run(bed, "n1", "dd if=/dev/zero of=/dev/lab/db bs=512 seek=60 count=1 oflag=direct 2>/dev/null")
    assert len({run(bed, node, "stat -c '%d %i' /dev/lab/db") for node in bed.nodes()}) == 3


def test_the_shared_directory_is_one_and_libvirt_takes_it_for_gfs2(bed: Bed) -> None:
    run(bed, "n1", "echo hello >/shared/word")
    assert run(bed, "n3", "cat /shared/word; rm /shared/word") == "hello"
    magic = "LD_PRELOAD=/usr/local/lib/hacluster-lab-statfs.so HACLUSTER_LAB_GFS2=/shared stat -f -c %t"
    assert run(bed, "n1", f"{magic} /shared/mail.img; {magic} /root").split()[0] == "1161970"
    assert run(bed, "n1", f"{magic} /root") != "1161970"


def test_bridges_span_the_nodes(bed: Bed) -> None:
    run(bed, "n1", "ip addr add 192.0.2.1/24 dev br0")
    run(bed, "n2", "ip addr add 192.0.2.2/24 dev br0")
    assert reaches(bed, "n2", "192.0.2.1")


def test_the_kernel_of_this_machine_is_out_of_reach(bed: Bed) -> None:
    for path in ("/proc/sys/kernel/core_pattern", "/sys/kernel/mm/ksm/run"):
        assert bed.exec("n1", ["sh", "-c", f"echo x >{path}"]).returncode != 0
    assert run(bed, "n1", "if [ -e /proc/sysrq-trigger ]; then stat -c %t,%T /proc/sysrq-trigger; fi") in ("", "1,3")


def test_libvirt_answers_from_another_node(bed: Bed) -> None:
    assert run(bed, "n1", "virsh -c qemu+tcp://10.99.1.12/system uri") == "qemu+tcp://10.99.1.12/system"


def test_the_bmc_answers_in_half_a_second(bed: Bed) -> None:
    run(bed, "n1", "true")
    ask = (
        "fence_ipmilan --ip=10.99.0.22 --username=admin --password=$(cat /etc/hacluster/secrets/ipmi-n2)"
        " --lanplus --cipher=3 --privlvl=operator -o status 2>/dev/null"
    )
    began = time.monotonic()
    assert run(bed, "n1", ask) == "Status: ON"
    assert time.monotonic() - began < 2  # half a second on an idle machine


def test_a_node_that_is_powered_off_is_silent_and_comes_back(bed: Bed) -> None:
    before = boot_of(bed, "n2")
    assert bed.power("n2", "off") == "off"
    assert not reaches(bed, "n1", "10.99.0.12")
    with pytest.raises(Refused) as no:
        bed.exec("n2", ["true"])
    assert [problem.code for problem in no.value.problems] == ["HA711"]
    assert bed.power("n2", "on") == "on"
    assert boot_of(bed, "n2") != before


def test_the_bmcs_stay_where_they_are_when_nodes_die(bed: Bed) -> None:
    knock = 'for a in 21 22 23; do bash -c "echo >/dev/udp/10.99.0.$a/623"; done; sleep 0.3; ip neigh'

    def macs() -> dict[str, str]:
        found = re.findall(r"^(10\.99\.0\.2[123]) dev eth0 lladdr (\S+)", run(bed, "n3", knock), re.MULTILINE)
        return dict(found)

    before = macs()
    assert len(before) == 3
    for node in bed.nodes():  # each wire is another one afterwards
        bed.power(node, "cycle")
    assert macs() == before


@pytest.mark.parametrize(
    "order", ["systemctl poweroff", "reboot -f", "kill -KILL -- -1; systemctl halt --force --force"]
)
def test_a_node_that_ends_itself_is_off(bed: Bed, order: str) -> None:
    bed.exec("n3", ["sh", "-c", order], timeout=20)
    wait(lambda: bed.power("n3", "status") == "off", 30)
    assert "n3" not in [node.name for node in look(bed).nodes if node.power != "off"]


def test_a_frozen_node_is_frozen_and_thaws(bed: Bed) -> None:
    assert bed.power("n2", "freeze") == "frozen"
    assert bed.power("n2", "thaw") == "on"
    assert run(bed, "n2", "echo alive") == "alive"


def test_one_link_can_be_pulled(bed: Bed) -> None:
    bed.link("n2", up=False, link=1)
    assert bed.links("n2") == {"link0": True, "link1": False}
    assert not reaches(bed, "n1", "10.99.1.12")
    assert reaches(bed, "n1", "10.99.0.12")


def test_stonith_admin_reboots_a_node_and_it_returns(fenced_bed: Bed) -> None:
    before = boot_of(fenced_bed, "n2")
    run(fenced_bed, "n1", "stonith_admin --reboot n2 --timeout 30")
    time.sleep(3)  # a node of the lab boots in one second: it has to leave the others time to recover its VMs
    assert fenced_bed.exec("n2", ["test", "-S", "/run/dbus/system_bus_socket"]).returncode == 1
    wait(lambda: fenced_bed.online("n1") == {"n1", "n2", "n3"})
    assert boot_of(fenced_bed, "n2") != before


@pytest.mark.parametrize("victim", ["n1", "n3"])
def test_a_node_without_links_is_fenced_and_returns(fenced_bed: Bed, victim: str) -> None:
    before = boot_of(fenced_bed, victim)
    fenced_bed.link(victim, up=False)
    wait(lambda: boot_of(fenced_bed, victim) not in ("", before))
    wait(lambda: fenced_bed.online("n2") == {"n1", "n2", "n3"})


def test_the_lock_server_stands_still_from_power_off_to_fencing(bed: Bed) -> None:
    client = (
        "import sys, time; sys.path.insert(0, '/usr/lib/hacluster'); import lab_dlm; p = lab_dlm.StandIn('bedtest');"
        "soon = time.monotonic() + {seconds}; p.connect(soon); p.join(soon);"
        "print(p.lock('u', 5, flags=0x81, deadline=soon).lkid)"
    )

    def lock(node: str, seconds: int) -> int:
        return bed.exec(node, ["/usr/bin/python3", "-IS", "-c", client.format(seconds=seconds)], timeout=30).returncode

    assert lock("n2", 5) == 0
    assert lock("n1", 5) == 1  # EAGAIN: n2's orphan
    bed.power("n2", "off")
    began = time.monotonic()
    assert lock("n1", 2) == 1
    assert time.monotonic() - began > 1.9  # no answer at all
    ask = (
        "ipmitool -I lanplus -C 3 -L OPERATOR -H 10.99.0.22 -U admin -P $(cat /etc/hacluster/secrets/ipmi-n2) power off"
    )
    run(bed, "n1", ask)
    assert lock("n1", 5) == 0


def test_up_again_is_said_to_be_up_and_another_cluster_is_refused(bed: Bed) -> None:
    said: list[str] = []
    bed.up(said.append)
    assert "already up" in said[0]
    from dataclasses import replace

    with pytest.raises(Refused) as no:
        Bed(bed.name, replace(cluster(), name="other")).up()
    assert [problem.code for problem in no.value.problems] == ["HA708"]


@pytest.fixture
def another() -> Iterator[Bed]:
    skip_without_lab()
    lab = Bed(lab_name("u"), cluster())
    yield lab
    assert lab.down() == []


UP = (
    "from hacluster.lab.bed import Bed; from hacluster.spec import load; from pathlib import Path; "
    f"Bed({{name!r}}, load(Path({str(SPEC)!r}))).up(lambda line: print(line, flush=True))"
)


def start_up(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", UP.format(name=name)], stdout=subprocess.PIPE, text=True)


def test_up_and_down_twice_beside_another_lab_leaves_nothing(another: Bed) -> None:
    for _ in range(2):
        began = time.monotonic()
        another.up()
        assert time.monotonic() - began < 60
        assert look(another).up
        assert another.down() == []
        assert not look(another).up


@pytest.mark.parametrize("line", [0, 1, 2])
def test_down_clears_what_a_killed_up_left(another: Bed, line: int) -> None:
    up = start_up(another.name)
    assert up.stdout is not None
    for _ in range(line):
        up.stdout.readline()
    time.sleep(0.1)
    up.send_signal(signal.SIGKILL)
    up.wait()
    assert another.down() == []


def test_up_goes_over_what_a_killed_up_left(another: Bed) -> None:
    up = start_up(another.name)
    assert up.stdout is not None
    for _ in range(3):
        up.stdout.readline()
    up.send_signal(signal.SIGKILL)
    up.wait()
    another.up()
    assert another.online("n1") == {"n1", "n2", "n3"}


def test_two_ups_of_one_lab_do_not_meet(another: Bed) -> None:
    up = start_up(another.name)
    assert up.stdout is not None
    up.stdout.readline()
    with pytest.raises(Refused) as no:
        another.up()
    assert [problem.code for problem in no.value.problems] == ["HA707"]
    up.wait(90)
