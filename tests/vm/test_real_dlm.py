"""The guard's deepest claims, on real kernels: a run-lock belongs to the node, and goes by proof or by fencing only."""

from collections.abc import Iterator

import pytest

from hacluster.guard.dlm import EX, NOQUEUE, ORPHAN, PERSISTENT, VALBLK, Busy, NoLock, Unknown
from hacluster.lab.machines.bed import Machines
from tests.vm import fencing
from tests.vm.remote import RemotePort

pytestmark = pytest.mark.vm

KEPT = NOQUEUE | PERSISTENT | VALBLK
SPACE = "hacluster"
VM = "6f3b1d52-6d0b-4c52-9a52-0d5be9d7a001"
SHORT = 15.0
"""Seconds for which a request that must not be answered is waited for."""

RUN_LOCK = """
import sys
sys.path.insert(0, "/usr/lib/hacluster")
from hacluster.guard.lock import RunLock
lock = RunLock(sys.argv[2])
print(getattr(lock, sys.argv[1])(60.0))
"""


KILL_THE_REST = """
spared='^(systemd.*|corosync|pacemaker.*|dlm_controld|lvmlockd|qemu-ga|timeout|sh|ps|awk|xargs|kill)$'
ps -e -o pid= -o ppid= -o comm= |
  awk -v spared="$spared" '$1 > 2 && $2 != 2 && $3 !~ spared {print $1}' | xargs -r kill -9
true
"""


@pytest.fixture(autouse=True)
def pristine(machines: Machines) -> Iterator[None]:
    """Each test begins with the cluster as it was brought up: what these tests do, no cleaning-up undoes. Only the
    lockspace's monitor is off: a lock that no QEMU stands behind would be released by its sweep, as it should be.
    """
    off = '<op id="hacluster-lockspace-monitor-20s" enabled="false"/>'
    argv = ["sh", "-ec", 'cibadmin --modify --xml-text "$0"; crm_resource --wait --timeout 60s', off]
    done = machines.exec("n1", argv, timeout=120)
    assert done.returncode == 0, done.stderr
    yield
    machines.restore()


def run_lock(bed: Machines, node: str, deed: str) -> tuple[int, str]:
    """What the guard's own code says on a node: its lock operation's exit code and output."""
    done = bed.exec(node, ["python3", "-IS", "-c", RUN_LOCK, deed, VM], timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_a_run_lock_outlives_everything_that_runs_on_its_node(machines: Machines) -> None:
    code, said = run_lock(machines, "n1", "seal")
    assert code == 0, said
    # Everything but init, what fencing needs to stay quiet (Corosync, Pacemaker, dlm_controld) and what we ask through.
    machines.exec("n1", ["sh", "-c", KILL_THE_REST])
    with RemotePort(machines, "n2", SPACE) as other, pytest.raises(Busy):
        other.lock(VM, EX, KEPT)
    code, said = run_lock(machines, "n1", "adopt")
    assert (code, said.strip()) == (0, str(EX))


def test_only_the_node_itself_adopts(machines: Machines) -> None:
    assert run_lock(machines, "n1", "seal")[0] == 0
    with RemotePort(machines, "n2", SPACE) as other, pytest.raises(NoLock):
        other.lock(VM, EX, KEPT | ORPHAN)
    with RemotePort(machines, "n1", SPACE) as own:
        own.unlock(own.lock(VM, EX, KEPT | ORPHAN).lkid)
    assert run_lock(machines, "n2", "seal")[0] == 0


def test_a_dead_owner_blocks_the_others_until_it_is_fenced(machines: Machines) -> None:
    assert run_lock(machines, "n3", "seal")[0] == 0
    before = fencing.orders(machines, "n3")
    fencing.kill_without_fencing(machines, "n3")
    print(fencing.lockspaces(machines, "n1"))
    with RemotePort(machines, "n1", SPACE, patience=SHORT) as waiting, pytest.raises(Unknown):
        waiting.lock(VM, EX, KEPT)
    assert fencing.orders(machines, "n3") == before
    assert "wait fencing" in fencing.lockspaces(machines, "n1")
    fencing.let_fencing_through(machines, "n3")
    assert "power 1" in fencing.orders(machines, "n3")[len(before) :]
    # The guard's own operation: it finds its late grant by adopting, or asks anew.
    assert run_lock(machines, "n1", "seal")[0] == 0
    with RemotePort(machines, "n2", SPACE) as other, pytest.raises(Busy):
        other.lock(VM, EX, KEPT)
    print(fencing.lockspaces(machines, "n1"))


def test_the_kernel_does_not_let_a_lockspace_go_while_locks_are_held(machines: Machines) -> None:
    """What the lockspace agent's forced release is for; and what keeps everybody else from taking it away."""
    assert run_lock(machines, "n1", "seal")[0] == 0
    plain = (
        "import ctypes, errno, os, sys; d = ctypes.CDLL('libdlm_lt.so.3', use_errno=True); "
        "d.dlm_open_lockspace.restype = ctypes.c_void_p; "
        "d.dlm_release_lockspace.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]; "
        "s = d.dlm_open_lockspace(b'hacluster'); d.dlm_release_lockspace(b'hacluster', s, 0); "
        "print(errno.errorcode.get(ctypes.get_errno()))"
    )
    done = machines.exec("n1", ["python3", "-IS", "-c", plain], timeout=120)
    assert done.stdout.split() == ["EBUSY"], done.stdout + done.stderr  # libdlm itself returns 0 all the same
    assert machines.exec("n1", ["test", "-d", f"/sys/kernel/dlm/{SPACE}"]).returncode == 0
    with RemotePort(machines, "n2", SPACE) as other, pytest.raises(Busy):
        other.lock(VM, EX, KEPT)
