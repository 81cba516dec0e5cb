"""What the agents say about themselves, and that all of it reaches a host."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from lxml import etree

from hacluster.host.payload import files
from resource_agents import codes, parameters, virtual_domain
from resource_agents.vm import Vm

UUID = "d3b07384-d9a0-4c9b-8f1e-000000000001"


def described(agent: str) -> ElementTree.Element:
    return ElementTree.fromstring(codes.metadata(agent))


def read_by_the_code() -> set[str]:
    """The parameters that the code asks the environment for."""
    source = (Path(codes.__file__).parent / "vm.py").read_text()
    return set(re.findall(r'(?:given|_flag|_seconds)\("([a-z_0-9]+)"', source))


def test_every_parameter_that_is_described_is_read_and_the_other_way_round() -> None:
    described_names = {p.get("name") for p in described("VirtualDomain").iter("parameter")}
    assert described_names == read_by_the_code()


def test_no_parameter_is_both_taken_and_refused() -> None:
    assert not read_by_the_code() & set(parameters.REFUSED)


@pytest.mark.parametrize("agent", ["VirtualDomain", "lockspace"])
@pytest.mark.parametrize("schema", ["/usr/share/pcs/data/ocf-1.1.rng", "/usr/share/resource-agents/ra-api-1.dtd"])
def test_what_is_said_has_the_form_that_others_read(agent: str, schema: str) -> None:
    if not Path(schema).exists():
        pytest.skip(f"no {schema} here")
    text = codes.metadata(agent)
    if schema.endswith(".rng"):
        etree.RelaxNG(file=schema).assertValid(etree.fromstring(text.encode()))
        return

    class Beside(etree.Resolver):  # type: ignore[misc]  # lxml has no types
        def resolve(self, _url: str, _id: str, context: object) -> object:
            return self.resolve_filename(schema, context)

    parser = etree.XMLParser(dtd_validation=True)
    parser.resolvers.add(Beside())
    etree.fromstring(text.encode(), parser)


def test_a_change_of_config_or_checksum_is_a_reload() -> None:
    reloadable = {p.get("name") for p in described("VirtualDomain").iter("parameter") if p.get("reloadable") == "1"}
    assert {"config", "xml_sha256", "stop_budget"} <= reloadable
    assert {"migration_transport", "migration_hosts", "handover"} <= reloadable, "a running guest would be restarted"
    assert not {"uuid", "hypervisor"} & reloadable


def test_every_action_that_is_described_is_there() -> None:
    actions = {action.get("name") for action in described("VirtualDomain").iter("action")}
    assert actions == (set(virtual_domain.ACTIONS) | {"meta-data"}) - {"status"}


def test_defaults_in_the_description_are_the_codes() -> None:
    defaults = {
        parameter.get("name"): content.get("default")
        for parameter in described("VirtualDomain").iter("parameter")
        for content in parameter.iter("content")
    }
    vm = Vm({"OCF_RESKEY_uuid": UUID})
    assert defaults["hypervisor"] == vm.uri
    assert defaults["migration_transport"] == vm.transport
    assert defaults["handover"] == vm.handover
    assert float(defaults["stop_budget"] or 0) == vm.stop_budget
    assert float(defaults["migration_timeout"] or 0) == vm.migration_timeout
    assert defaults["shutdown_mode"] == vm.shutdown_mode
    assert (defaults["force_stop"], defaults["auto_converge"], defaults["post_copy"]) == ("false",) * 3
    assert (vm.force_stop, vm.auto_converge, vm.post_copy) == (False,) * 3


@pytest.mark.parametrize(
    ("destination", "mode"),
    [
        ("/usr/lib/ocf/resource.d/hacluster/VirtualDomain", 0o755),
        ("/usr/lib/ocf/resource.d/hacluster/lockspace", 0o755),
        ("/usr/lib/hacluster/probe", 0o755),
        ("/usr/lib/hacluster/drain", 0o755),
        ("/etc/systemd/system/hacluster-drain.service", 0o644),
        ("/etc/systemd/system/pacemaker.service.d/hacluster.conf", 0o644),
        ("/etc/libvirt/hooks/qemu.d/hacluster", 0o755),
        ("/usr/lib/hacluster/resource_agents/hooks/qemu", 0o755),
        ("/usr/lib/hacluster/resource_agents/metadata/VirtualDomain.xml", 0o644),
        ("/usr/lib/hacluster/hacluster/__init__.py", 0o644),
        ("/usr/lib/hacluster/hacluster/guard/table.py", 0o644),
        ("/usr/lib/hacluster/resource_agents/virtual_domain.py", 0o644),
    ],
)
def test_the_payload(destination: str, mode: int) -> None:
    found = {file.destination: file for file in files()}
    assert found[destination].mode == mode
    assert found[destination].content


def test_a_host_gets_nothing_of_the_command_line_tool() -> None:
    library = [f.destination for f in files() if f.destination.startswith("/usr/lib/hacluster/hacluster/")]
    assert all("/guard/" in name or name.endswith("hacluster/__init__.py") for name in library)
