"""A CIB as it would be at another moment: everything running where the scheduler put it, or some nodes gone. Pure.

Of what runs only the recurring monitor is recorded. A start would have to carry the digest of its parameters, or
Pacemaker (2.1.5) takes it for one with other parameters and restarts the resource; a monitor without one is only
scheduled anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lxml import etree

from hacluster.cib.draft import nvpair
from hacluster.cib.durations import seconds

_UUID = "00000000-0000-0000-0000-000000000000"
_FALLBACK = "10s"
_GONE = {"in_ccm": "false", "crmd": "offline", "join": "down"}


def without_probes(cib: etree._Element) -> None:
    """Have the scheduler take it that nothing runs where nothing is recorded, instead of asking every node first.

    Changes the CIB. For questions only: with it Pacemaker would not notice a VM that somebody else started.
    """
    properties = cib.find("configuration/crm_config/cluster_property_set")
    if properties is None:
        config = cib.find("configuration/crm_config")
        properties = etree.SubElement(config, "cluster_property_set", id="cib-bootstrap-options")
    nvpair(properties, "enable-startup-probes", "false")


def run(cib: etree._Element, places: Mapping[str, Iterable[str]]) -> None:
    """Record that each primitive runs on those nodes. Changes the CIB, whose nodes must have a status; a remote node is
    given one, as Pacemaker does once it has a connection.
    """
    histories = {}
    remote = {p.get("id") for p in cib.iterfind("configuration/resources/primitive[@type='remote']")}
    seen = {state.get("uname") for state in cib.iterfind("status/node_state")}
    for node in sorted({node for nodes in places.values() for node in nodes} & remote - seen):
        made = {"remote_node": "true", "id": node, "uname": node, "in_ccm": "true", "node_fenced": "0"}
        etree.SubElement(cib.find("status"), "node_state", made)
    for state in cib.iterfind("status/node_state"):
        held = etree.SubElement(etree.SubElement(state, "lrm", id=state.get("id")), "lrm_resources")
        histories[state.get("uname")] = held
    templates = {t.get("id"): t for t in cib.iterfind("configuration/resources/template")}
    primitives = {p.get("id"): p for p in cib.iterfind("configuration/resources//primitive")}
    for call, (name, nodes) in enumerate(places.items(), start=1):
        primitive = primitives.get(name)
        if primitive is None:
            continue
        described = templates.get(primitive.get("template"), primitive)
        agent = {key: described.get(key) for key in ("class", "provider", "type") if described.get(key)}
        every = _interval(primitive) or _interval(described) or _FALLBACK
        for node in (each for each in nodes if each in histories):
            holder = etree.SubElement(histories[node], "lrm_resource", {"id": name, **agent})
            etree.SubElement(holder, "lrm_rsc_op", _monitored(name, node, call, round((seconds(every) or 0) * 1000)))


def lose(cib: etree._Element, nodes: Iterable[str], *, fenced: bool) -> None:
    """Take those nodes away. Changes the CIB.

    Where they were `fenced`, nothing runs there any more; where not (nobody has the quorum to do it), nobody knows.
    """
    gone = frozenset(nodes)
    for state in cib.iterfind("status/node_state"):
        if state.get("uname") in gone:
            state.attrib.update({**_GONE, "expected": "down" if fenced else "member"})
            for part in list(state) if fenced else ():
                state.remove(part)


def _interval(primitive: etree._Element) -> str | None:
    op = primitive.find("operations/op[@name='monitor']")
    return None if op is None else op.get("interval")


def _monitored(name: str, node: str, call: int, every: int) -> dict[str, str]:
    return {
        "id": f"{name}_monitor_{every}",
        "operation_key": f"{name}_monitor_{every}",
        "operation": "monitor",
        "crm-debug-origin": "hactl",
        "crm_feature_set": "3.16.1",
        "transition-key": f"{call}:0:0:{_UUID}",
        "transition-magic": f"0:0;{call}:0:0:{_UUID}",
        "on_node": node,
        "call-id": str(call),
        "rc-code": "0",
        "op-status": "0",
        "interval": str(every),
        "last-rc-change": "1",
        "exec-time": "0",
        "queue-time": "0",
    }
