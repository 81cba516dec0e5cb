"""A CIB, Pacemaker's reading of it and the nodes' facts in; what an admin is told out."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hacluster import claim
from hacluster.observe import document, observe
from hacluster.observe import findings as found
from hacluster.observe.look import addresses
from hacluster.ports import Domain, HeldLock, HostFacts, Unknown
from hacluster.problems import Kind

UUID = "6f3b1d52-6d0b-4c52-9a52-0d5be9d7a001"
FILE = "/etc/hacluster/domains/web.0123456789abcdef.xml"


def cib(constraints: str = "", properties: str = "", vm: str = "", attributes: str = 'have-quorum="1"') -> bytes:
    return f"""
<cib validate-with="pacemaker-3.9" crm_feature_set="3.16.1" admin_epoch="0" epoch="12" num_updates="3" {attributes}>
 <configuration>
  <crm_config><cluster_property_set id="cib-bootstrap-options">
   <nvpair id="p1" name="cluster-name" value="lab"/>
   <nvpair id="p2" name="hacluster-fencing-proof" value="waived"/>{properties}</cluster_property_set></crm_config>
  <nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
  <resources>
   <primitive id="ipmi-n1" class="stonith" type="fence_ipmilan"><instance_attributes id="i1">
    <nvpair id="i1-h" name="pcmk_host_list" value="n1"/></instance_attributes></primitive>
   <clone id="fs-clone"><primitive id="fs" class="ocf" provider="heartbeat" type="Filesystem"/></clone>
   <template id="t" class="ocf" provider="hacluster" type="VirtualDomain"/>
   <primitive id="web" template="t"><instance_attributes id="w">
    <nvpair id="w-u" name="uuid" value="{UUID}"/><nvpair id="w-c" name="config" value="{FILE}"/>
    </instance_attributes>{vm}</primitive>
   <primitive id="foreign" class="ocf" provider="pacemaker" type="Dummy"/>
  </resources><constraints>{constraints}</constraints>
 </configuration>
 <status><node_state id="1" uname="n1"><transient_attributes id="1"><instance_attributes id="s1">
  <nvpair id="s1-g" name="hacluster-guard" value="1"/></instance_attributes></transient_attributes></node_state>
 </status>
</cib>""".strip().encode()


NODE = (
    '<node name="{name}" online="{online}" pending="false" unclean="{unclean}" standby="false" standby_onfail="false"'
    ' maintenance="false"/>'
)


def node(name: str, *, online: bool = True, unclean: bool = False) -> str:
    return NODE.format(name=name, online=str(online).lower(), unclean=str(unclean).lower())


def resource(ident: str, role: str = "Started", on: str = "n1", **attributes: str) -> str:
    more = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    where = "".join(f'<node name="{one}"/>' for one in on.split())
    agent = "ocf:heartbeat:Filesystem"
    return f'<resource id="{ident}" resource_agent="{agent}" role="{role}" {more}>{where}</resource>'


def monitor(*resources: str, nodes: str = node("n1") + node("n2"), failures: str = "") -> bytes:
    listed = "".join(resources or (resource("ipmi-n1", on="n2"), resource("web"), resource("foreign", on="n2")))
    clone = f'<clone id="fs-clone">{resource("fs")}{resource("fs", on="n2")}</clone>'
    dc = '<summary><current_dc present="true" name="n1"/></summary>'
    return (
        f"<pacemaker-result>{dc}<nodes>{nodes}</nodes><resources>{listed}{clone}</resources>"
        f"<failures>{failures}</failures></pacemaker-result>"
    ).encode()


def facts(name: str, *, runs: bool = False, mode: str | None = "EX") -> HostFacts:
    return HostFacts(
        node=name,
        boot_id="b",
        guard_version="1",
        hook_ok=True,
        libvirt_answers=True,
        mem_total=8 << 30,
        mem_available=4 << 30,
        bridges=("br0",),
        domains=(Domain("web", UUID, "running", "booted"),) if runs else (),
        qemus=(),
        locks=(HeldLock(UUID, mode, since=5),) if runs and mode else (),
        domain_files=(Path(FILE).name,),
        presence={UUID: "PRESENT" if runs else "ABSENT"},
    )


WELL: Mapping[str, HostFacts | Unknown] = {"n1": facts("n1", runs=True), "n2": facts("n2")}


def test_a_healthy_cluster_has_no_finding() -> None:
    seen = observe(cib(), monitor(), WELL, now=1000.0)
    assert seen.problems == ()
    assert (seen.cluster.name, seen.cluster.version, seen.cluster.dc) == ("lab", (0, 12, 3), "n1")
    assert seen.cluster.quorum
    assert [(n.name, n.state, n.guard) for n in seen.nodes] == [("n1", "online", "1"), ("n2", "online", None)]
    assert [(d.name, d.targets, d.running_on) for d in seen.fencing] == [("ipmi-n1", ("n1",), ("n2",))]
    assert [(c.name, dict(c.on)) for c in seen.clones] == [("fs-clone", {"n1": "started", "n2": "started"})]
    [web] = seen.vms
    assert (web.name, web.uuid, web.state, web.node, web.lock) == ("web", UUID, "running on n1", "n1", "EX n1")
    assert dict(seen.others) == {"foreign": "started on n2"}


def test_a_vm_and_a_fence_device_in_a_group_are_seen_where_they_run() -> None:
    grouped = f'<group id="all">{resource("ipmi-n1", on="n2")}{resource("web")}</group>'
    seen = observe(cib(), monitor(grouped, resource("foreign", on="n2")), WELL, now=1000.0)
    assert [(vm.role, vm.nodes) for vm in seen.vms] == [("Started", ("n1",))]
    assert [device.running_on for device in seen.fencing] == [("n2",)]
    assert dict(seen.others) == {"all": "group", "foreign": "started on n2"}
    assert seen.problems == ()


def codes(raw: bytes = b"", seen: bytes = b"", told: Mapping[str, HostFacts | Unknown] = WELL) -> list[str]:
    return [problem.code for problem in observe(raw or cib(), seen or monitor(), told, now=1000.0).problems]


def changed(name: str, **values: object) -> Mapping[str, HostFacts | Unknown]:
    told = WELL[name]
    assert isinstance(told, HostFacts)
    return {**WELL, name: replace(told, **values)}  # type: ignore[arg-type]  # values are the fields' own


TWICE = {**WELL, "n2": facts("n2", runs=True)}
PERSISTENT = (Domain("web", UUID, "shut off", persistent=True, autostart=True),)


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (TWICE, found.RUNS_TWICE),
        ({**WELL, "n1": facts("n1", runs=True, mode=None)}, found.NO_LOCK),
        ({**WELL, "n1": facts("n1", runs=True, mode="CR")}, found.NO_LOCK),
        (changed("n2", hook_ok=False), found.HOOK_MISSING),
        (changed("n2", libvirt_answers=False), found.LIBVIRT_DOWN),
        (changed("n2", domain_files=()), found.FILE_MISSING),
        (changed("n2", domains=PERSISTENT), found.DEFINED_TWICE),
        ({**WELL, "n1": facts("n1")}, found.VM_NOT_RUNNING),
        ({"n1": facts("n1"), "n2": facts("n2", runs=True)}, found.VM_NOT_RUNNING),
        (changed("n1", domains=(Domain("web", UUID, "paused", "I/O error"),)), found.VM_NOT_RUNNING),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_what_the_nodes_say(told: Mapping[str, HostFacts | Unknown], code: Kind) -> None:
    assert codes(told=told) == [code.code]


def test_a_silent_node_makes_the_vm_unknown_only_where_no_copy_is_found() -> None:
    silent = {**WELL, "n2": Unknown("no answer")}
    assert codes(told=silent) == [found.NODE_SILENT.code]
    gone = {**WELL, "n1": Unknown("no answer")}
    assert found.UNKNOWN_STATE.code in codes(told=gone)


def test_a_node_that_is_silent_and_was_not_fenced_may_run_its_vms_whatever_pacemaker_calls_it() -> None:
    told: Mapping[str, HostFacts | Unknown] = {"n1": Unknown("no answer"), "n2": facts("n2")}
    seen = monitor(resource("web", "Stopped", on=""), nodes=node("n1", online=False) + node("n2"))
    fenced = cib().replace(b'uname="n1"><transient', b'uname="n1" expected="down"><transient')
    assert observe(cib(), seen, told, now=1000.0).vms[0].state == "UNKNOWN: n1 did not answer"
    assert observe(fenced, seen, told, now=1000.0).vms[0].state == "stopped"


def test_a_fenced_node_is_a_warning_and_an_unclean_one_an_error() -> None:
    told: Mapping[str, HostFacts | Unknown] = {**WELL, "n2": Unknown("no answer")}
    offline = monitor(nodes=node("n1") + node("n2", online=False))
    assert codes(seen=offline, told=told) == [found.NODE_DOWN.code]
    unclean = monitor(nodes=node("n1") + node("n2", online=False, unclean=True))
    assert codes(seen=unclean, told=told) == [found.NODE_UNCLEAN.code]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (cib(attributes='have-quorum="0"'), found.NO_QUORUM),
        (cib(properties='<nvpair id="x" name="stonith-enabled" value="false"/>'), found.NO_FENCING),
        (cib(properties='<nvpair id="x" name="maintenance-mode" value="true"/>'), found.MAINTENANCE),
        (cib('<rsc_location id="cli-prefer-web" rsc="web" node="n1" score="INFINITY"/>'), found.FOREIGN_MOVE),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_what_the_configuration_says(raw: bytes, code: Kind) -> None:
    assert codes(raw) == [code.code]


def test_a_claim_is_left_over_when_nothing_moves_and_it_is_old() -> None:
    def at(now: float) -> list[str]:
        made = claim.Claim("web", "n1", "n2", "root@n1", 7, 900)
        seen = observe(cib(claim.to_xml(made).decode()), monitor(), WELL, now)
        assert seen.vms[0].claim == made
        return [p.code for p in seen.problems]

    assert at(910.0) == []
    assert at(1000.0) == [found.LEFTOVER_CLAIM.code]


def test_failed_things_are_told_with_their_reason() -> None:
    failure = (
        '<failure op_key="web_migrate_to_0" node="n1" exitstatus="error" exitreason="no seat" last-rc-change="today"/>'
        '<failure op_key="fs_monitor_10000" node="n2" exitstatus="not running" exitreason=""/>'
    )
    seen = observe(
        cib(),
        monitor(
            resource("ipmi-n1", "Stopped", on="", failed="true"),
            resource("web", blocked="true", failed="true"),
            resource("foreign", on="n2"),
            failures=failure,
        ),
        WELL,
        now=1000.0,
    )
    kinds = [p.code for p in seen.problems]
    assert kinds == [found.FENCE_DEVICE_DOWN.code, found.VM_BLOCKED.code] + 2 * [found.FAILED_OPERATION.code]
    assert [(f.resource, f.operation) for f in seen.failures] == [("web", "migrate_to"), ("fs", "monitor")]
    assert seen.problems[2].message == "migrate_to of web failed on n1: no seat"
    assert [p.code for p in seen.vms[0].problems] == [found.VM_BLOCKED.code]


def test_a_vm_that_is_meant_to_be_stopped_may_be() -> None:
    stopped = '<meta_attributes id="m"><nvpair id="m-t" name="target-role" value="Stopped"/></meta_attributes>'
    told = {"n1": facts("n1"), "n2": facts("n2")}
    ours = monitor(resource("ipmi-n1", on="n2"), resource("web", "Stopped", on=""), resource("foreign", on="n2"))
    assert codes(cib(vm=stopped), ours, told) == []
    assert codes(cib(), ours, told) == [found.VM_NOT_RUNNING.code]


def test_the_document_is_json_and_keeps_unknown_apart_from_none() -> None:
    told = document(observe(cib(), monitor(), {**WELL, "n2": Unknown("no answer")}, now=1000.0))
    assert json.loads(json.dumps(told)) == told
    assert told["format"] == 1
    web = told["vms"][0]
    assert web["locks"] == {
        "n1": {"mode": "EX", "target": None, "since": 5},
        "n2": {"mode": None, "unknown": "no answer"},
    }
    assert web["unknown"] == ["n2"]


@pytest.mark.tools
@pytest.mark.skipif(not shutil.which("crm_mon"), reason="no Pacemaker tools")
def test_pacemakers_own_monitor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cib.xml"
    path.write_bytes(cib())
    real = subprocess.run(
        ["crm_mon", "--one-shot", "--inactive", "--show-detail", "--output-as=xml"],
        env={**os.environ, "CIB_file": str(path)},
        capture_output=True,
        check=True,
    ).stdout
    seen = observe(cib(), real, {}, now=0.0)
    assert [n.name for n in seen.nodes] == ["n1", "n2"]
    assert [vm.role for vm in seen.vms] == ["Stopped"]
    assert [c.name for c in seen.clones] == ["fs-clone"]
    assert dict(seen.others) == {"foreign": "stopped"}


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        ("<graphics type='vnc' port='5901' listen='127.0.0.1'/>", {"vnc": "127.0.0.1:5901 on n1"}),
        ("<graphics type='vnc' port='5901' listen='0.0.0.0'/>", {"vnc": "n1:5901"}),
        ("<graphics type='spice' port='-1' autoport='yes'/>", {}),
        ("<serial type='pty'><source path='/dev/pts/3'/></serial>", {"pty": "/dev/pts/3 on n1"}),
        ("<serial type='file'><source path='/var/log/s'/></serial>", {"serial": "/var/log/s on n1"}),
        ("<serial type='pty'/>", {}),
    ],
)
def test_consoles_of_a_running_domain(devices: str, told: dict[str, str]) -> None:
    text = f"<domstatus><domain><devices>{devices}</devices></domain></domstatus>"
    assert addresses(text.encode(), "n1") == told


def test_a_runtime_file_that_is_half_written_has_no_console() -> None:
    assert addresses(b"<domstatus><dom", "n1") == {}
