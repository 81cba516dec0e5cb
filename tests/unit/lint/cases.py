"""The faults: each a change to the clean cluster, and the finding that it must bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.unit.lint.clean import DOMAINS, spoiled

Change = tuple[str, str]


@dataclass(frozen=True)
class Case:
    """A fault. `also` are codes that come with it by its nature; `beside` are findings()'s other arguments."""

    code: str
    what: str
    changes: tuple[Change, ...]
    where: tuple[str, ...]
    says: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)


def prop(name: str, value: str) -> Change:
    """One more cluster property, before those that stand there."""
    first = '<nvpair id="cib-bootstrap-options-have-watchdog"'
    return (first, f'<nvpair id="cib-bootstrap-options-{name}" name="{name}" value="{value}"/>{first}')


def meta(vm: str, name: str, value: str) -> Change:
    """One more meta attribute of a VM."""
    first = f'<nvpair id="{vm}-allow"'
    return (first, f'<nvpair id="{vm}-{name}" name="{name}" value="{value}"/>{first}')


def parameter(resource: str, first: str, name: str, value: str) -> Change:
    """One more parameter of a resource, before the one called `first` in its id."""
    text = f'<nvpair id="{resource}-{first}"'
    return (text, f'<nvpair id="{resource}-{name}" name="{name}" value="{value}"/>{text}')


def constraint(text: str) -> Change:
    """One more constraint."""
    return ("<constraints>", f"<constraints>{text}")


def ban(resource: str, *nodes: str) -> Change:
    """Bans from nodes."""
    one = '<rsc_location id="{0}-not-{1}" rsc="{0}" node="{1}" score="-INFINITY"/>'
    return constraint("".join(one.format(resource, node) for node in nodes))


def domains(*changes: Change, of: str = "web") -> Mapping[str, Any]:
    """One VM's domain XML with changes."""
    return {"domains": {**DOMAINS, of: spoiled(DOMAINS[of], *changes)}}


COLD = (('name="allow-migrate" value="true"', 'name="allow-migrate" value="false"'),)
TWO_NODES = (
    ('<node id="3" uname="n3"/>', ""),
    ('<node_state id="3" uname="n3" in_ccm="true" crmd="online" join="member" expected="member"/>', ""),
    ('value="n3"', 'value="n2"'),
    ('class="stonith" type="fence_sbd"', 'class="stonith" type="fence_apc"'),
)
ON_XFS = (('name="fstype" value="gfs2"', 'name="fstype" value="xfs"'),)
NO_SBD = (('class="stonith" type="fence_sbd"', 'class="ocf" provider="x" type="y"'),)
LOOP = """<rsc_order id="back" first="web" then="dlm-clone"/>"""
HISTORY = '<lrm_resource id="gone" class="ocf" provider="heartbeat" type="Dummy">'
DRBD = """<clone id="r0-clone"><meta_attributes id="r0m"><nvpair id="r0p" name="promotable" value="true"/>
<nvpair id="r0x" name="promoted-max" value="2"/></meta_attributes>
<primitive id="r0" class="ocf" provider="linbit" type="drbd"/></clone>"""

FENCING = (
    Case("HA801", "switched off", (('name="stonith-enabled" value="true"', 'name="stonith-enabled" value="false"'),),
         ("stonith-enabled",)),
    Case("HA801", "no device", (('class="stonith" type="fence_', 'class="ocf" provider="x" type="'),), ("resources",)),
    Case("HA801", "every device disabled",
         (('type="fence_ipmilan">', 'type="fence_ipmilan"><meta_attributes id="off"><nvpair id="off-1" '
           'name="target-role" value="Stopped"/></meta_attributes>'), *NO_SBD),
         ("resources",), also=("HA813",)),
    Case("HA802", "by ssh", (('class="stonith" type="fence_sbd"', 'class="stonith" type="fence_ssh"'),), ("sbd",),
         ("does not answer",), also=("HA818",)),
    Case("HA802", "by nobody", (('class="stonith" type="fence_sbd"', 'class="stonith" type="null"'),), ("sbd",),
         also=("HA818",)),
    Case("HA803", "kept on its victim by bans", (ban("bmc-n2", "n1", "n3"),), ("bmc-n2",)),
    Case("HA803", "kept on its victim by a rule",
         (constraint('<rsc_location id="l" rsc="bmc-n2"><rule id="r" score="-INFINITY"><expression id="e" '
                     'attribute="#uname" operation="eq" value="n3"/></rule></rsc_location>'), ban("bmc-n2", "n1")),
         ("bmc-n2",)),
    Case("HA804", "banned everywhere", (ban("bmc-n1", "n2", "n3"),), ("bmc-n1",)),
    Case("HA805", "a node without a device", (('value="n3"', 'value="n2"'), parameter("sbd", "devices",
         "pcmk_host_list", "n1 n2")), ("fencing",), ("n3",)),
    Case("HA806", "reservations only",
         (('class="stonith" type="fence_ipmilan"', 'class="stonith" type="fence_scsi"'), *NO_SBD),
         ("bmc-n1",), ("bmc-n1, bmc-n2 and bmc-n3",)),
    Case("HA807", "the default is too short", (('name="stonith-timeout" value="120s"', 'name="stonith-timeout" '
         'value="40s"'),), ("sbd",), ("40 s", "stonith-timeout=58s")),
    Case("HA807", "the device's own bound", (parameter("bmc-n1", "ip", "pcmk_reboot_timeout", "30s"),
         parameter("bmc-n1", "lanplus", "power_wait", "45")), ("bmc-n1",), ("45 s and is given 30 s",
         "pcmk_reboot_timeout=…")),
    Case("HA807", "the watchdog", (prop("stonith-watchdog-timeout", "150s"),), ("stonith-timeout",)),
    Case("HA808", "two nodes", TWO_NODES, ("priority-fencing-delay",)),
    Case("HA809", "wait_for_all off", (), ("corosync.conf",),
         beside={"corosync": "quorum {\n  provider: corosync_votequorum\n  two_node: 1\n  wait_for_all: 0\n}\n"}),
    Case("HA818", "boards only", NO_SBD, ("bmc-n1",)),
)  # fmt: skip

CLUSTER = (
    Case("HA810", "ignore", (('name="no-quorum-policy" value="freeze"', 'name="no-quorum-policy" value="ignore"'),),
         ("no-quorum-policy",), ("freeze",)),
    Case("HA811", "stop", (('name="no-quorum-policy" value="freeze"', 'name="no-quorum-policy" value="stop"'),),
         ("no-quorum-policy",), ("dlm and fs",)),
    Case("HA811", "left out", (('<nvpair id="cib-bootstrap-options-no-quorum-policy" name="no-quorum-policy" '
         'value="freeze"/>', ""),), ("no-quorum-policy",)),
    Case("HA812", "the cluster", (prop("maintenance-mode", "true"),), ("maintenance-mode",)),
    Case("HA812", "a node", (('<node id="2" uname="n2"/>', '<node id="2" uname="n2"><instance_attributes id="n2-a">'
         '<nvpair id="n2-m" name="maintenance" value="on"/></instance_attributes></node>'),), ("2",), ("node n2",)),
    Case("HA812", "a VM", (meta("web", "maintenance", "true"),), ("web",)),
    Case("HA813", "disabled", (meta("web", "target-role", "Stopped"),), ("web",)),
    Case("HA813", "unmanaged by default", (('<nvpair id="defaults-stickiness"', '<nvpair id="defaults-managed" '
         'name="is-managed" value="false"/><nvpair id="defaults-stickiness"'),), ("bmc-n1",), ("and 6 more",)),
    Case("HA814", "underscores", (prop("no_quorum_policy", "freeze"),), ("no_quorum_policy",), ("no-quorum-policy",)),
    Case("HA814", "a letter", (prop("concurent-fencing", "true"),), ("concurent-fencing",), ("concurrent-fencing",)),
    Case("HA815", "of Pacemaker 1", (prop("default-resource-stickiness", "100"),), ("default-resource-stickiness",)),
    Case("HA816", "off", (prop("startup-fencing", "false"),), ("startup-fencing",)),
    Case("HA817", "2.0.3", (("2.1.5-a3f44794f94", "2.0.3-4b1f869f0f"),), ("dc-version",), ("web and db",)),
)  # fmt: skip

STORAGE = (
    Case("HA819", "two primaries", (("</resources>", DRBD + "</resources>"), *ON_XFS, *COLD), ("r0-clone",)),
    Case("HA827", "local locks", (('value="noatime"', 'value="noatime,localflocks"'),), ("fs",), ("localflocks",)),
    Case("HA827", "NFS of version 3", (('value="noatime"', 'value="vers=3,noatime"'), ('"fstype" value="gfs2"',
         '"fstype" value="nfs"')), ("fs",), ("vers=3",)),
    Case("HA840", "no order", (('<resource_ref id="db"/>', ""),), ("db",), ("/kvm/images/db.qcow2", "fs-clone")),
    Case("HA840", "advice only", (('<rsc_order id="o3">', '<rsc_order id="o3" kind="Optional">'),), ("web",),
         ("web and db", "o3 is only Optional")),
    Case("HA840", "starts only", (('<rsc_order id="o3">', '<rsc_order id="o3" symmetrical="false">'),), ("web",),
         ("not symmetrical",)),
    Case("HA841", "no colocation", (('<rsc_colocation id="c4" rsc="db" with-rsc="fs-clone" score="INFINITY"/>', ""),),
         ("db",), ("fs-clone",)),
    Case("HA841", "a wish", (('rsc="db" with-rsc="fs-clone" score="INFINITY"', 'rsc="db" with-rsc="fs-clone" '
         'score="1000"'),), ("db",)),
    Case("HA848", "not after the DLM", (('<rsc_order id="o1" first="dlm-clone" then="stack-clone" kind="Mandatory"/>',
         ""),), ("lvmlockd",), ("no order with dlm-clone",)),
    Case("HA848", "not beside the DLM", (('<rsc_colocation id="c1" rsc="stack-clone" with-rsc="dlm-clone" '
         'score="INFINITY"/>', ""),), ("lvmlockd",), ("no colocation",)),
)  # fmt: skip

CONSTRAINTS = (
    Case("HA842", "not interleaved", (('name="interleave" value="true"/>\n        </meta_attributes>\n      </clone>\n'
         '      <primitive id="web"', 'name="interleave" value="0"/>\n        </meta_attributes>\n      </clone>\n'
         '      <primitive id="web"'),), ("fs-clone",), ("stack-clone",)),
    Case("HA843", "a ban", (constraint('<rsc_location id="cli-ban-web-on-n1" rsc="web" node="n1" '
         'score="-INFINITY"/>'),), ("cli-ban-web-on-n1",), ("off n1",)),
    Case("HA843", "a preference in a rule",
         (constraint('<rsc_location id="cli-prefer-web" rsc="web"><rule id="cr" score="INFINITY"><expression id="ce" '
                     'attribute="#uname" operation="eq" value="n2"/></rule></rsc_location>'),),
         ("cli-prefer-web",), ("on n2",)),
    Case("HA844", "a name misspelt", (('rsc="db" with-rsc="fs-clone"', 'rsc="db" with-rsc="fs-clnoe"'),), ("c4",),
         ("fs-clone is probably meant",), also=("HA841",)),
    Case("HA844", "a level without its device", (("</constraints>", '</constraints><fencing-topology><fencing-level '
         'id="fl" target="n1" index="1" devices="bmc-n1,bmc-x"/></fencing-topology>'),), ("fl",), ("bmc-x",)),
    Case("HA845", "a node that is gone", (('rsc="web" node="n1" score="100"', 'rsc="web" node="n11" score="100"'),),
         ("web-likes-n1",), ("n11",)),
    Case("HA846", "through a set and a group", (constraint(LOOP),), ("o1",),
         ("dlm → ", "web → dlm", "back")),
    Case("HA847", "a VM", (ban("web", "n1", "n2", "n3"),), ("web",)),
)  # fmt: skip

AGENTS = (
    Case("HA820", "a letter", (('name="hypervisor"', 'name="hypervizor"'),), ("web",),
         ("hypervisor is probably meant",)),
    Case("HA820", "a meta attribute", (parameter("web", "config", "priority-x", "10"), ('name="priority-x"',
         'name="migration-threshold"')), ("web",), ("meta attribute",)),
    Case("HA821", "nobody knows it", (parameter("web", "config", "colour", "red"),), ("web",), ("colour",)),
    Case("HA822", "no configuration", (('<nvpair id="web-config" name="config" value="/etc/libvirt/qemu/web.xml"/>',
         ""),), ("web",), ("config",)),
    Case("HA823", "an old name", (('name="ip" value="10.0.3.1"', 'name="ipaddr" value="10.0.3.1"'),), ("bmc-n1",),
         ("ipaddr (now ip)",)),
    Case("HA824", "no number", (parameter("web", "config", "migration_downtime", "fast"),), ("web",), ("fast",)),
    Case("HA824", "neither true nor false", (('name="lanplus" value="1"', 'name="lanplus" value="yess"'),),
         ("bmc-n1",)),
    Case("HA824", "none of the choices", (('value="lvmlockd"', 'value="lvmlokd"'),), ("lv",), ("lvmlockd, clvmd",)),
    Case("HA825", "the classic", (('name="allow-migrate"', 'name="allow-migration"'),), ("web",),
         ("allow-migrate is probably meant",)),
    Case("HA825", "of a clone", (('id="fs-clone-interleave" name="interleave"', 'id="fs-clone-interleave" '
         'name="inteleave"'),), ("fs-clone",), also=("HA842",)),
    Case("HA826", "inside the clone",
         (('<nvpair id="fs-clone-interleave" name="interleave" value="true"/>', ""),
          ('<primitive id="fs" class="ocf" provider="heartbeat" type="Filesystem">',
           '<primitive id="fs" class="ocf" provider="heartbeat" type="Filesystem"><meta_attributes id="fs-m"><nvpair '
           'id="fs-mi" name="interleave" value="true"/></meta_attributes>')),
         ("fs",), ("fs-clone",), also=("HA842",)),
    Case("HA828", "on the file system", (("/etc/libvirt/qemu/", "/kvm/images/xml/"),), ("web",), ("web and db",)),
    Case("HA829", "the stock agent", (), ("web",), ("web and db",)),
    Case("HA837", "shutdown_mode", (parameter("web", "config", "shutdown_mode", "acpi,agent"),), ("web",)),
    Case("HA838", "it finds another", (("db", "web.old"),), ("web.old",), ("finds web-old",),
         beside={"domains": {"web": DOMAINS["web"].replace("<name>web<", "<name>web-old<"),
                             "web.old": DOMAINS["db"].replace("db", "web.old")}}),
    Case("HA838", "it does not find itself", (), ("web",), ("does not find the VM itself",),
         beside=domains(("<name>web<", "<name>c++<"))),
)  # fmt: skip

OPERATIONS = (
    Case("HA830", "below the advice", (('name="monitor" interval="10s" timeout="30s"', 'name="monitor" interval="10s" '
         'timeout="15s"'),), ("web",), ("web and db have monitor 15 s (advised 30)",)),
    Case("HA830", "the default of all", (('<op id="web-start" name="start" interval="0s" timeout="90s"/>', ""),
         ("<rsc_defaults>", '<op_defaults><meta_attributes id="od"><nvpair id="odt" name="timeout" value="60s"/>'
          "</meta_attributes></op_defaults><rsc_defaults>")), ("web",), ("start 60 s (advised 90)",)),
    Case("HA830", "Pacemaker's default", (('<op id="web-start" name="start" interval="0s" timeout="90s"/>', ""),),
         ("web",), ("start 20 s",)),
    Case("HA831", "a guest's budget", (('provider="heartbeat" type="VirtualDomain"', 'provider="hacluster" '
         'type="VirtualDomain"'), parameter("web", "config", "stop_budget", "170")), ("web",), ("170",)),
    Case("HA832", "migrate_to restarts", (('<op id="db-to" name="migrate_to" interval="0s" timeout="600s" '
         'on-fail="block"/>', '<op id="db-to" name="migrate_to" interval="0s" timeout="600s"/>'),), ("db",)),
    Case("HA833", "a restart", (('interval="20s" timeout="40s" on-fail="fence"', 'interval="20s" timeout="40s"'),),
         ("fs",), ("restart",)),
    Case("HA834", "block", (meta("web", "multiple-active", "block"),), ("web",)),
    Case("HA835", "no monitor", (('<op id="db-monitor" name="monitor" interval="10s" timeout="30s"/>', ""),), ("db",)),
    Case("HA836", "ignored", (('<op id="web-stop" name="stop" interval="0s" timeout="180s"/>', '<op id="web-stop" '
         'name="stop" interval="0s" timeout="180s" on-fail="ignore"/>'),), ("web",)),
    Case("HA836", "ignored for all", (("<rsc_defaults>", '<op_defaults><meta_attributes id="od"><nvpair id="odf" '
         'name="on-fail" value="ignore"/></meta_attributes></op_defaults><rsc_defaults>'),),
         ("lvmlockd", "lv", "fs", "web", "db")),
)  # fmt: skip

VMS = (
    Case("HA849", "an invariant counter", (), ("web",),
         beside=domains(("</cpu>", '<feature name="invtsc" policy="require"/></cpu>'))),
    Case("HA850", "one file", (("/etc/libvirt/qemu/db.xml", "/etc/libvirt/qemu/../qemu/web.xml"),), ("web",),
         ("web and db",)),
    Case("HA851", "one uuid", (), ("web",), beside=domains(("000000000002", "000000000001"), of="db")),
    Case("HA852", "one disk", (), ("web",), ("/kvm/images/web.qcow2",),
         beside=domains(("/kvm/images/db.qcow2", "/kvm/images/web.qcow2"), of="db")),
    Case("HA852", "one image of a pool", (), ("web",), ("rbd:vms/web",),
         beside={"domains": {name: spoiled(text, ('type="file" device', 'type="network" device'),
                                           (f'file="/kvm/images/{name}.qcow2"', 'protocol="rbd" name="vms/web"'))
                             for name, text in DOMAINS.items()}}),
    Case("HA853", "one MAC", (), ("web",), beside=domains(("52:54:00:00:00:02", "52:54:00:00:00:01"), of="db")),
    Case("HA854", "a card of its host", (), ("web",),
         beside=domains(("</devices>", '<hostdev mode="subsystem" type="pci"/></devices>'))),
    Case("HA855", "the host's CPU", (), ("db",), beside=domains(('mode="custom"', 'mode="host-passthrough"'), of="db")),
    Case("HA856", "on xfs", ON_XFS, ("web", "db"), ("/kvm/images/web.qcow2",)),
    Case("HA857", "shareable", (), ("web",), beside=domains(('<target dev="vda"', '<shareable/><target dev="vda"'))),
)  # fmt: skip

STATUS = (
    Case("HA858", "orphan", (('operation="stop" rc-code="0"', 'operation="start" rc-code="0"'),), ("gone",),
         ("n1",)),
    Case("HA859", "a count", (('name="fail-count-web#monitor_10000" value="0"', 'name="fail-count-web#monitor_10000" '
         'value="2"'),), ("web",), ("2 on n1",)),
)  # fmt: skip

CASES = (*FENCING, *CLUSTER, *STORAGE, *CONSTRAINTS, *AGENTS, *OPERATIONS, *VMS, *STATUS)
