"""docs/lint.md, from the catalogue: `python -m tests.unit.lint.page > docs/lint.md`; a test holds the two together."""

from __future__ import annotations

import re

from hacluster.cli import catalogue
from hacluster.problems import Kind

HEAD = """\
# What `hactl check` finds in a cluster

    hactl check cluster.toml                    a spec, before it is compiled
    hactl check cib.xml [--domains DIR]         a CIB file, whoever made it; offline
    cibadmin --query | hactl check -            the same through a pipe
    hactl check --live [--node NODE]            the running cluster, with its nodes' domain files and agents

The kind of a file is known by its content. The exit code is 0 when no error was found (warnings do not count), 1 for
errors, 2 for wrong usage; `--json` prints findings for machines, `--accept CODE` takes a risk by name. `hactl explain
CODE` prints a rule's page, the text below.

A rule speaks where the configuration proves the fault and is silent where it might be otherwise: a file system that no
resource mounts may be mounted by the host, a node that no constraint names may be meant. With a VM's domain XML
(`--domains`, or read from the nodes by `--live`) the storage that it stands on is found from its disks; without it,
from the path of its configuration. Parameters and timeouts are judged by the metadata of the agents that are installed
here (`--live`: on the node that is asked). What many resources have in common is one finding.

This page is made from the catalogue (`python -m tests.unit.lint.page`), and each rule has a test that spoils a clean
cluster in that one place.
"""

THEMES = (
    ("Fencing", "HA80[1-9]|HA818"),
    ("The cluster", "HA81[0-7]"),
    ("Storage", "HA819|HA827|HA84[018]"),
    ("Constraints", "HA84[2-7]"),
    ("Agents and their parameters", "HA82[0-689]|HA83[78]"),
    ("Operations", "HA83[0-6]"),
    ("VMs", "HA849|HA85[0-7]"),
    ("What the status remembers", "HA85[89]"),
)

COMPLAINTS = (
    ('the agent says "stopped" when it cannot know, because its configuration cannot be read', "HA828 HA829"),
    ("fencing off, fake (ssh), or mapped to the wrong host", "HA801 HA802 HA803 HA804 HA805 HA806 HA224"),
    ("a lost migration verdict: the guest runs on the target, libvirt reports an error", "HA829 HA513 HA516"),
    ("an interrupted migration while the target changes (Pacemaker before 2.1.5)", "HA817 HA506"),
    ("a second actor at boot: libvirt-guests, autostart, a script", "HA501 HA502 HA319"),
    ("`virsh start` or `virsh migrate` beside the cluster", "HA317 HA829"),
    ("a weak death test, a human who confirms a death", "HA802 HA816"),
    ("storage fails under a VM that then starts elsewhere", "HA833 HA836 HA840 HA841"),
    ("replication left with two primaries", "HA819"),
    ("liveness read from a pattern over QEMU's command line", "HA838"),
    ("`pcs resource move` leaves cli-prefer or cli-ban", "HA843 HA320"),
    ("a live migration fails and the VM is restarted cold", "HA832 HA854 HA855 HA849 HA856"),
    ("the target lacks the XML, a disk, a bridge or the CPU", "HA316 HA415 HA855"),
    ("a stop timeout that is too short for the guest, or for a storage outage", "HA830 HA831"),
    ("monitors time out when memory is short", "HA830 HA835"),
    ("two nodes shoot each other", "HA808 HA809 HA124"),
    ("a management board dies with its host", "HA818"),
    ("fencing is given up while the device still works on it", "HA807"),
    ("Pacemaker stopped in maintenance mode with the DLM up", "HA812"),
    ("domain XML copied by hand drifts, or serves two VMs", "HA503 HA850 HA851 HA852 HA853"),
    ("a misspelt `allow-migrate`, property or parameter", "HA814 HA815 HA820 HA821 HA824 HA825 HA826"),
    ("no order between the VM and its file system", "HA840 HA841 HA846 HA848"),
    ("one node's restart restarts storage on all", "HA842"),
    ("a cluster file system without quorum, or without its locks", "HA810 HA811 HA827 HA857"),
    ("shutdown_mode never reaches virsh", "HA837"),
    ("something was deleted, renamed or forgotten", "HA813 HA844 HA845 HA847 HA858 HA859 HA822 HA823"),
    ("multiple copies are tolerated", "HA834 HA301"),
)
"""What operators of such clusters complain about as far as configuration is to blame, and the codes that find it."""


def rules() -> list[Kind]:
    """The rules of lint, by code."""
    return [kind for code, kind in sorted(catalogue.load().items()) if re.fullmatch("HA8[0-5][0-9]", code)]


def page() -> str:
    """The page as Markdown."""
    known = catalogue.load()
    parts = [HEAD]
    for theme, codes in THEMES:
        parts.append(f"\n## {theme}\n")
        for kind in rules():
            if re.fullmatch(codes, kind.code):
                parts.append(f"**{kind.code} {kind.title}** ({kind.severity}). {kind.why}\n")
    parts.append("\n## What operators complain about, and what finds it\n")
    parts.append("| complaint | found by |\n|---|---|")
    for complaint, codes in COMPLAINTS:
        told = "; ".join(f"{code} ({known[code].title})" for code in codes.split())
        parts.append(f"| {complaint} | {told} |")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(page(), end="")
