"""Agents' metadata: what is read of it, and that every installed agent's can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hacluster.cib import metadata
from hacluster.cib.durations import seconds
from hacluster.edge.agents import OCF_ROOT, InstalledAgents
from hacluster.ports import Unknown

RESOURCE = b"""<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="Thing" version="1.0"><version>1.1</version>
<parameters>
 <parameter name="config" required="1"><shortdesc>The
   file</shortdesc><content type="string" default="/etc/x"/></parameter>
 <parameter name="old"><deprecated><replaced-with name="config"/></deprecated><content type="boolean"/></parameter>
</parameters>
<actions>
 <action name="stop" timeout="90"/>
 <action name="monitor" depth="10" timeout="60s" interval="20s"/>
 <action name="monitor" depth="0" timeout="30s" interval="10s"/>
 <action name="monitor" role="Promoted" timeout="40s" interval="11s"/>
</actions></resource-agent>"""
FENCE = b"""<resource-agent name="fence_thing" shortdesc="x"><parameters>
 <parameter name="ip" required="1" obsoletes="ipaddr"><content type="string"/></parameter>
 <parameter name="ipaddr" deprecated="1"><content type="string"/></parameter>
 <parameter name="method">
  <content type="select" default="onoff"><option value="onoff"/><option value="cycle"/></content>
 </parameter></parameters>
 <actions><action name="on" on_target="1" automatic="1"/><action name="off"/></actions></resource-agent>"""


def test_a_resource_agent_is_read() -> None:
    read = metadata.parse(RESOURCE)
    assert read.parameters["config"] == metadata.Parameter("config", "string", True, "/etc/x", purpose="The file")
    assert (read.parameters["old"].deprecated, read.parameters["old"].newer) == (True, "config")
    stop, monitor, promoted = read.action("stop"), read.action("monitor"), read.action("monitor", "promoted")
    assert stop is not None and stop.timeout == 90
    assert monitor is not None and (monitor.timeout, monitor.interval) == (30, 10)
    assert promoted is not None and promoted.timeout == 40
    assert read.action("migrate_to") is None


def test_a_fence_agents_dialect_is_read() -> None:
    read = metadata.parse(FENCE)
    assert read.parameters["ipaddr"].newer == "ip"
    assert read.parameters["ipaddr"].deprecated
    assert read.parameters["method"].options == ("onoff", "cycle")
    on = read.action("on")
    assert on is not None and on.on_target and on.automatic


@pytest.mark.parametrize("text", [b"", b"<a/>", b"<resource-agent>", b"x" * 10])
def test_what_is_no_metadata_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="not"):
        metadata.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90), ("90", 90), ("2min", 120), ("1m", 60), ("1500ms", 1.5), ("1h", 3600), ("PT1M30S", 90),
        ("P1DT1H", 90000), ("", None), ("P", None), ("PT", None), ("soon", None), ("5 parsecs", None), ("P1Y", None),
    ],
)  # fmt: skip
def test_durations(text: str, expected: float | None) -> None:
    assert seconds(text) == expected


def test_no_name_leaves_the_agents_folders(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {ran}\n")
    evil.chmod(0o755)
    (tmp_path / "resource.d" / "x").mkdir(parents=True)
    agents = InstalledAgents(tmp_path, tmp_path)
    for name in ("ocf:..:../evil", "ocf:x:../../evil", "stonith:evil", "stonith:../evil", "stonith:fence_../evil"):
        assert agents.metadata(name) is None
    assert not ran.exists()


def test_an_agent_that_does_not_answer_is_unknown(tmp_path: Path) -> None:
    for name, body in (("fence_bad", "echo no >&2; exit 1"), ("fence_slow", "sleep 60")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    agents = InstalledAgents(tmp_path, tmp_path)
    bad = agents.metadata("stonith:fence_bad")
    assert isinstance(bad, Unknown) and bad.reason.endswith(": no")
    assert isinstance(agents.metadata("stonith:fence_slow", deadline=0.3), Unknown)
    assert agents.fence_agents() == ("stonith:fence_bad", "stonith:fence_slow")


@pytest.mark.parametrize("agent", ["VirtualDomain", "lockspace"])
def test_our_own_agents_describe_themselves_where_they_are_not_installed(tmp_path: Path, agent: str) -> None:
    text = InstalledAgents(tmp_path, tmp_path).metadata(f"ocf:hacluster:{agent}")
    assert isinstance(text, bytes)
    assert metadata.parse(text).action("stop") is not None


@pytest.mark.tools
@pytest.mark.parametrize("agent", ["ocf:heartbeat:VirtualDomain", "ocf:pacemaker:controld", "ocf:heartbeat:Filesystem"])
def test_an_installed_agent_is_asked(agent: str) -> None:
    if not OCF_ROOT.is_dir():
        pytest.skip("no resource agents here")
    text = InstalledAgents().metadata(agent)
    assert isinstance(text, bytes), text
    stop = metadata.parse(text).action("stop")
    assert stop is not None and (stop.timeout or 0) >= 20
