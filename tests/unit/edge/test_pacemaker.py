"""Pacemaker's real tools on a CIB in a file: what they answer is what the port promises."""

import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from hacluster import claim as claims
from hacluster.claim import Claim
from hacluster.edge.pacemaker import NO_CLUSTER, TOOLS_TOO_OLD, PacemakerTools
from hacluster.edge.pcs import PUSH_REFUSED
from hacluster.edge.ssh import NodeRunner
from hacluster.ports import Completed, Conflict, NodeFile, Unknown
from hacluster.problems import Refused

tools = [pytest.mark.tools, pytest.mark.skipif(not shutil.which("cibadmin"), reason="no Pacemaker tools")]

CIB = """
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="5" num_updates="2" admin_epoch="0" have-quorum="1">
 <configuration><crm_config/><nodes><node id="1" uname="n1"/></nodes>
  <resources>
   <template id="t" class="ocf" provider="pacemaker" type="Dummy"/>
   <primitive id="web" template="t"/>
   <primitive id="f1" class="stonith" type="fence_dummy"/>
  </resources><constraints/></configuration>
 <status><node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"/></status>
</cib>
"""
CLAIM = b'<rsc_location id="hactl-move-web" rsc="web" node="n1" score="INFINITY"/>'


@pytest.fixture
def pacemaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PacemakerTools:
    (tmp_path / "cib.xml").write_text(CIB)
    monkeypatch.setenv("CIB_file", str(tmp_path / "cib.xml"))
    return PacemakerTools(NodeRunner(here="n1"), "n1")


@pytest.mark.usefixtures("pacemaker")
class TestOnAFile:
    pytestmark = tools

    def test_the_cib_is_whole_and_has_its_version(self, pacemaker: PacemakerTools) -> None:
        root = etree.fromstring(pacemaker.cib())
        assert root.get("epoch") == "5"
        assert root.find("status") is not None

    def test_the_first_of_two_claims_wins(self, pacemaker: PacemakerTools) -> None:
        assert pacemaker.create_constraint(CLAIM) is True
        assert pacemaker.create_constraint(CLAIM.replace(b"n1", b"n2")) is False
        assert b'node="n1"' in pacemaker.cib()

    def test_deleting_a_constraint_is_idempotent_and_leaves_others(self, pacemaker: PacemakerTools) -> None:
        pacemaker.create_constraint(CLAIM)
        pacemaker.create_constraint(CLAIM.replace(b"hactl-move-web", b"other"))
        pacemaker.delete_constraint("hactl-move-web")
        pacemaker.delete_constraint("hactl-move-web")
        assert etree.fromstring(pacemaker.cib()).xpath("//rsc_location/@id") == ["other"]

    def test_only_the_very_claim_is_deleted(self, pacemaker: PacemakerTools) -> None:
        mine = Claim("web", "n1", "n2", "o'brien & sons@n1", 4711, 1_790_000_000, recorded="n1:5start")
        pacemaker.create_constraint(claims.to_xml(replace(mine, pid=4712)))
        pacemaker.delete_constraint(mine.ident, value=mine.told)
        assert etree.fromstring(pacemaker.cib()).xpath("//rsc_location/@id") == ["hactl-move-web"]
        pacemaker.delete_constraint(mine.ident, value=replace(mine, pid=4712).told)
        assert etree.fromstring(pacemaker.cib()).xpath("//rsc_location/@id") == []

    def test_an_id_cannot_smuggle_an_xpath(self, pacemaker: PacemakerTools) -> None:
        with pytest.raises(ValueError, match="XML id"):
            pacemaker.delete_constraint("x' or @id!='")

    def test_target_role_is_set_on_the_vm_and_not_on_its_template(self, pacemaker: PacemakerTools) -> None:
        pacemaker.set_target_role("web", "Stopped")
        root = etree.fromstring(pacemaker.cib())
        assert root.xpath("//primitive[@id='web']//nvpair[@name='target-role']/@value") == ["Stopped"]
        assert not root.xpath("//template//nvpair")
        pacemaker.set_target_role("web", None)
        pacemaker.set_target_role("web", None)
        assert b"target-role" not in pacemaker.cib()

    def test_what_a_node_has_is_set_under_the_ids_that_pcs_and_the_compiler_use(
        self, pacemaker: PacemakerTools
    ) -> None:
        for value in ("8", "16", "16"):
            pacemaker.set_utilization("n1", "cpu", value)
        [pair] = etree.fromstring(pacemaker.cib()).xpath("//node[@uname='n1']/utilization/nvpair")
        assert dict(pair.attrib) == {"id": "nodes-1-utilization-cpu", "name": "cpu", "value": "16"}

    def test_the_scheduler_tells_actions_and_its_graph(self, pacemaker: PacemakerTools) -> None:
        text = CIB.replace("<crm_config/>", _property("stonith-enabled", "false")).encode()
        actions = etree.fromstring(pacemaker.simulate(text)).xpath("//rsc_action[@resource='web']/@action")
        assert actions == ["start"]
        assert etree.fromstring(pacemaker.simulate(text, graph=True)).tag == "transition_graph"

    def test_a_cib_of_a_newer_pacemaker_is_not_given_to_the_scheduler(self, pacemaker: PacemakerTools) -> None:
        with pytest.raises(Refused) as refused:
            pacemaker.simulate(CIB.replace("3.16.1", "3.99.0").encode())
        assert [p.code for p in refused.value.problems] == [TOOLS_TOO_OLD.code]

    def test_verify_says_nothing_of_a_good_cib_and_names_a_bad_reference(self, pacemaker: PacemakerTools) -> None:
        good = CIB.replace("<crm_config/>", _property("stonith-enabled", "false"))
        assert pacemaker.verify(good.encode()) == ()
        bad = good.replace("<constraints/>", '<constraints><rsc_location id="l" rsc="web"/></constraints>')
        assert any("rsc_location" in sentence for sentence in pacemaker.verify(bad.encode()))

    def test_monitor_reads_stopped_resources_too(self, pacemaker: PacemakerTools) -> None:
        assert etree.fromstring(pacemaker.monitor()).xpath("//resource[@id='web']/@role") == ["Stopped"]


def _property(name: str, value: str) -> str:
    return (
        f'<crm_config><cluster_property_set id="o"><nvpair id="o-{name}" name="{name}" value="{value}"/>'
        "</cluster_property_set></crm_config>"
    )


class Answers:
    """A runner that answers each command from a list, and keeps what it was asked."""

    def __init__(self, *answers: Completed) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[tuple[str, ...], bytes]] = []

    def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        """The next answer."""
        self.asked.append((tuple(argv), stdin))
        return self.answers.pop(0)

    def put(self, node: str, files: Sequence[NodeFile]) -> None:
        """Not used here."""
        raise AssertionError


OLDER = b"Error: Unable to push to the CIB because pushed configuration is older than existing one. If you are sure"


def test_pcs_refusing_an_older_cib_is_a_conflict() -> None:
    with pytest.raises(Conflict):
        PacemakerTools(Answers(Completed(1, b"", OLDER)), "n1").replace(b"<cib/>")


def test_pcs_refusing_for_another_reason_is_a_problem_with_its_words() -> None:
    with pytest.raises(Refused) as refused:
        PacemakerTools(Answers(Completed(1, b"", b"Error: unable to parse new cib")), "n1").replace(b"<cib")
    assert [p.code for p in refused.value.problems] == [PUSH_REFUSED.code]
    assert "unable to parse" in refused.value.problems[0].message


def test_the_cib_travels_on_stdin_and_is_sent_once() -> None:
    answers = Answers(Completed(0, b"", b""))
    PacemakerTools(answers, "n1").replace(b"<cib>whole</cib>")
    [(argv, stdin)] = answers.asked
    assert stdin == b"<cib>whole</cib>"
    assert "whole" not in " ".join(argv)
    assert "--config" not in " ".join(argv)


def test_a_cluster_that_is_just_starting_is_asked_again() -> None:
    answers = Answers(Completed(102, b"", b"not connected"), Completed(0, b"<cib/>", b""))
    assert PacemakerTools(answers, "n1").cib() == b"<cib/>"


def test_no_cluster_is_a_problem_that_says_what_to_do() -> None:
    with pytest.raises(Refused) as refused:
        PacemakerTools(Answers(*[Completed(102, b"", b"not connected")] * 3), "n1").cib()
    assert [p.code for p in refused.value.problems] == [NO_CLUSTER.code]
    assert "--node" in refused.value.problems[0].remedy


def test_a_change_is_never_repeated() -> None:
    answers = Answers(Completed(102, b"", b"not connected"), Completed(0, b"", b""))
    with pytest.raises(Refused):
        PacemakerTools(answers, "n1").create_constraint(CLAIM)
    assert len(answers.asked) == 1


@pytest.mark.parametrize(
    ("lookup", "state", "idle"),
    [
        (Completed(0, b"n2\n", b""), Completed(0, b"S_IDLE\n", b""), True),
        (Completed(0, b"n2\n", b""), Completed(0, b"S_TRANSITION_ENGINE\n", b""), False),
        (Completed(0, b"n2\n", b""), Completed(0, b"S_NOT_DC\n", b""), False),
        (Completed(0, b"n2\n", b""), Completed(124, b"", b"timed out"), None),
        (Completed(0, b"", b""), None, None),
    ],
)
def test_idle_is_the_dcs_word_and_silence_is_unknown(
    lookup: Completed, state: Completed | None, idle: bool | None
) -> None:
    answer = PacemakerTools(Answers(*filter(None, (lookup, state))), "n1").idle()
    assert isinstance(answer, Unknown) if idle is None else answer is idle


def test_reading_from_two_threads_is_safe(pacemaker: PacemakerTools) -> None:
    if not shutil.which("cibadmin"):
        pytest.skip("no Pacemaker tools")
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(pacemaker.cib())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(found)) == 1
    assert len(found) == 4
