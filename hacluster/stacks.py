"""What each kind of storage can do for a VM and which lock lies under QEMU there: the one table of it.

The checks of a spec refuse what a stack cannot do, compiling chooses the hand-over by its lock, and docs/storage.md
shows it. Where the words come from: QEMU locks an image file through the file system (OFD locks), which reaches other
nodes on GFS2, OCFS2 (both through the DLM) and NFS from 4.1 on (through the server); it never locks a block device or
an RBD image. This module is a leaf.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Stack:
    """One kind of storage. `resources` are what is compiled for it, bottom first, in an admin's words.

    `live`: the disk is there on both nodes of a live move. `cold`: it is there on the node that starts the VM after
    it has been shut down elsewhere. `copy`: it is not, unless somebody copies it first. `recovers`: after the death
    of its node another one can start the VM.

    `image_lock`: QEMU's own lock on the image holds on all nodes; only then may the target of a live move run before
    its source has ended (hand-over `running`). `leases`: libvirt's lock driver can keep a lease on such a disk.
    `dlm`: it stands on the DLM, so that no Pacemaker remote node ever has it. `after_a_death` says what a restart
    elsewhere waits for beside fencing.
    """

    resources: str
    live: bool
    cold: bool
    copy: bool
    recovers: bool
    image_lock: bool
    leases: bool
    dlm: bool
    after_a_death: str = "nothing"


STACKS: Mapping[str, Stack] = MappingProxyType(
    {
        "gfs2": Stack(
            "dlm, lvmlockd or clvmd, the volume, the file system",
            live=True,
            cold=True,
            copy=False,
            recovers=True,
            image_lock=True,
            leases=True,
            dlm=True,
            after_a_death="the dead node's journal",
        ),
        "ocfs2": Stack(
            "dlm, o2cb where the distribution needs it, the volume if there is one, the file system",
            live=True,
            cold=True,
            copy=False,
            recovers=True,
            image_lock=True,
            leases=True,
            dlm=True,
            after_a_death="the dead node's journal",
        ),
        "nfs": Stack(
            "the mount, unless it is mounted outside the cluster",
            live=True,
            cold=True,
            copy=False,
            recovers=True,
            image_lock=True,
            leases=True,
            dlm=False,
            after_a_death="the dead client's lease on the server (90 s by default)",
        ),
        "directory": Stack(
            "the bind mount",
            live=True,
            cold=True,
            copy=False,
            recovers=True,
            image_lock=False,
            leases=True,
            dlm=False,
        ),
        "block": Stack(
            "nothing",
            live=True,
            cold=True,
            copy=False,
            recovers=True,
            image_lock=False,
            leases=True,
            dlm=False,
        ),
        "shared-lvm": Stack(
            "dlm, lvmlockd or clvmd, each VM's volumes: shared on every node for a VM that moves live, else exclusive "
            "where the VM runs",
            live=True,
            cold=True,
            copy=False,
            recovers=True,
            image_lock=False,
            leases=True,
            dlm=True,
        ),
        "ceph-rbd": Stack(
            "nothing: QEMU opens the image itself, or rbdmap has mapped it",
            live=True,
            cold=True,
            copy=False,
            recovers=True,
            image_lock=False,
            leases=False,
            dlm=False,
        ),
        "local": Stack(
            "nothing: the VM is kept on the disk's node",
            live=False,
            cold=False,
            copy=True,
            recovers=False,
            image_lock=False,
            leases=False,
            dlm=False,
        ),
    }
)
