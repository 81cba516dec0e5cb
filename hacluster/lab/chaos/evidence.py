"""Keeps what a bad run left: its report, each node's journal, Pacemaker's view, and the disks as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hacluster.lab.chaos.report import Report
from hacluster.lab.chaos.scene import Scene

KEPT = Path("/var/tmp/hacluster-chaos")
SHOWN = {
    "journal": "journalctl --no-pager -o short-iso-precise",
    "pacemaker": "cat /var/log/pacemaker/pacemaker.log",
    "corosync": "cat /var/log/corosync/corosync.log",
    "guard": "ls -la --time-style=full-iso /run/hacluster/vm; head -50 /run/hacluster/vm/*",
    "libvirt": "virsh list --all; cat /run/libvirt/qemu/*.xml",
    "processes": "ps -efww",
    "cib": "cibadmin --query",
    "status": "hactl status --json",
}


def keep(scene: Scene, report: Report) -> Path:
    """Write the evidence to a directory of its own, replacing that of the same seed; the directory."""
    place = KEPT / f"{scene.bed.name}-{report.kind}-{report.seed}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    report.evidence = str(place)
    (place / "report.json").write_text(json.dumps(report.as_json(), indent=1), encoding="utf-8")
    for node in scene.nodes:
        for name, script in SHOWN.items():
            done = scene.run(node, ["sh", "-c", script], 30)
            (place / f"{node}.{name}").write_text(done.stdout + done.stderr, encoding="utf-8")
    for vm, path in scene.bed.disks().items():
        if report.violated:
            shutil.copyfile(path, place / f"{vm}.disk")
    return place
