"""A process's signs of a running guest, from the kernel's own figures. Any process has these; QEMU is not needed."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hacluster.lab.chaos.copies import MOST, WINDOW, Copy, Processes


class Threads:
    """A vCPU as the kernel shows it: a thread of this process that runs, or stands still."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.name = str(self.thread.native_id)

    def _run(self) -> None:
        while not self.ended.is_set():
            if self.running.wait():
                time.sleep(0.002)


@pytest.fixture
def vcpu() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    threads.ended.set()
    threads.running.set()
    threads.thread.join()


def samples(copy: Copy, count: int) -> list[str]:
    seen = []
    for _ in range(count):
        time.sleep(0.02)
        seen.append(copy.sign())
    return seen


def test_vcpus_that_run_are_told_from_vcpus_that_were_only_woken(vcpu: Threads) -> None:
    copy = Copy("uuid", "n1", os.getpid(), threads=[vcpu.name])
    copy.sign()
    assert samples(copy, 3) == ["", "", ""]
    vcpu.running.set()
    seen = samples(copy, WINDOW + MOST)
    assert seen[0] == "", "one time slice is no proof"
    assert seen[-1] == "ran"
    vcpu.running.clear()
    time.sleep(0.02)
    copy.rebase()
    assert samples(copy, 3) == ["", "", ""]


def test_a_write_is_a_sign_at_once(vcpu: Threads, tmp_path: Path) -> None:
    if (
        subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True).stdout.strip()
        == "tmpfs"
    ):
        pytest.skip("the temporary directory has no block device below it")
    copy = Copy("uuid", "n1", os.getpid(), threads=[vcpu.name])
    copy.sign()
    assert copy.sign() == ""
    with (tmp_path / "file").open("wb") as file:
        file.write(b"x" * 65536)
        file.flush()
        os.fsync(file.fileno())
    assert copy.sign() == "wrote"


def test_a_process_that_is_gone_has_no_sign() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(OSError):
        Copy("uuid", "n1", pid).sign()


def test_processes_outside_the_lab_are_nobodys_copies() -> None:
    assert Processes("/sys/fs/cgroup/hacluster-lab/none").look() == []
