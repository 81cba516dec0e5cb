"""Storage that a node loses, and a full /var.

Not here, with the reason: a clock jump (the nodes share this machine's clock; no namespace has a real-time clock of its
own) and storage that turns read-only below a running guest (a read-only loop device still takes writes of those that
have it open, and it would be so on all nodes at once; that is staged in full virtual machines).
"""

from __future__ import annotations

from hacluster.lab.chaos.verb import Verb, in_node

GONE = "test -b /dev/lab/$vm && mv /dev/lab/$vm /dev/lab/$vm.away || umount -l /vmfs"
BACK = "test -b /dev/lab/$vm.away && mv /dev/lab/$vm.away /dev/lab/$vm; true"
FULL = (
    "mkdir -p /run/full && mount -t tmpfs -o size=$(($(du -sk /var/lib/pacemaker | cut -f1) + 64))k full /run/full "
    "&& cp -a /var/lib/pacemaker/. /run/full/ && mount --move /run/full /var/lib/pacemaker; "
    "for d in /var/log/libvirt/qemu /var/lib/libvirt/qemu; do mount -t tmpfs -o size=4k full $d; done; "
    "for d in /var/lib/pacemaker /var/log/libvirt/qemu /var/lib/libvirt/qemu; do "
    "dd if=/dev/zero of=$d/filled bs=4k 2>/dev/null; done; true"
)
EMPTY = "umount -l /var/lib/pacemaker /var/log/libvirt/qemu /var/lib/libvirt/qemu; true"

VERBS = (
    Verb("storage-gone", "fault", "the VM's storage is not there on a node", in_node(GONE, BACK), hold=(3, 15)),
    Verb("var-full", "fault", "/var is full on a node for Pacemaker and libvirt", in_node(FULL, EMPTY), hold=(3, 15),
         weight=1),
)  # fmt: skip
