"""The command line of one machine. Pure: the same description and paths give the same machine.

What comes from the kernel's command line is what makes a machine itself: its name, its id, its addresses. So one
image serves all. The kernel is booted unpacked, as unpacking it takes an emulated machine longer than booting it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hacluster.lab.machines.accelerator import EMULATED
from hacluster.lab.machines.description import NETWORKS, Description, Machine

KERNEL = (
    "root=/dev/vda rw console=ttyS0 quiet panic=1 net.ifnames=0 ipv6.disable=1 systemd.show_status=0 "
    "systemd.firstboot=off mitigations=off nopti no_timer_check rcupdate.rcu_expedited=1 random.trust_cpu=on"
)
"""`panic=1`: a node that the kernel gave up on must come back as one that was reset, not hang for ever."""

EMULATED_CLOCK = "tsc=unstable clocksource=acpi_pm"
"""An emulated time stamp counter follows this machine's own, which may differ from core to core: seen to make a
machine's clock jump by hours. The ACPI timer follows the clock."""


def argv(machine: Machine, description: Description, image: Path, run: Path, accelerator: Sequence[str]) -> list[str]:
    """QEMU's words. `image` is the folder of kernel and initrd, `run` the bed's run directory."""
    own = run / "nodes" / machine.name
    words = [
        "qemu-system-x86_64", "-name", machine.name, "-uuid", machine.uuid, "-M", "pc", *accelerator,
        "-smp", "1", "-m", str(description.memory_mib), "-nodefaults", "-no-user-config", "-display", "none",
        "-kernel", str(image / "vmlinux"), "-initrd", str(image / "initrd"), "-append", _kernel(machine, accelerator),
        "-chardev", f"file,id=console,path={own}/console.log,append=on", "-serial", "chardev:console",
        "-qmp", f"unix:{own}/qmp,server=on,wait=off",
        "-drive", f"if=none,id=root,file={own}/root.qcow2,format=qcow2,cache=unsafe,discard=unmap",
        "-device", "virtio-blk-pci,drive=root", "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=agent,path={own}/agent,server=on,wait=off",
        "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
        "-device", "i6300esb", "-action", "watchdog=reset", "-device", "virtio-scsi-pci,id=scsi",
    ]  # fmt: skip
    for network in range(NETWORKS):
        words += [
            "-netdev", f"tap,id=net{network},ifname={machine.tap(network)},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=net{network},mac={machine.mac(network)}",
        ]  # fmt: skip
    for number, disk in enumerate(description.shared_disks):
        # Three QEMUs write to one file: that is what a shared LUN is, and QEMU's own lock would forbid it.
        backing = f"if=none,id=lun{number},file={run}/{disk.serial}.img,format=raw,cache=writeback,file.locking=off"
        words += [
            "-drive", f"{backing},discard=unmap",
            "-device", f"scsi-hd,bus=scsi.0,drive=lun{number},share-rw=on,serial={disk.serial},lun={number}",
        ]  # fmt: skip
    return words


def _kernel(machine: Machine, accelerator: Sequence[str]) -> str:
    addresses = " ".join(
        f"ip={address}:::255.255.255.0:{machine.name}:eth{network}:off"
        for network, address in enumerate(machine.addresses)
    )
    identity = machine.uuid.replace("-", "")
    clock = f" {EMULATED_CLOCK}" if tuple(accelerator) == EMULATED else ""
    return f"{KERNEL}{clock} systemd.hostname={machine.name} systemd.machine_id={identity} {addresses}"
