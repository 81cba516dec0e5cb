"""Who asks which device about whom, and what the answers mean."""

from __future__ import annotations

from hacluster.cib.metadata import Action, Metadata, Parameter
from hacluster.fences import asking
from hacluster.ports import Unknown
from hacluster.problems import Problem
from tests.unit.fence.clusters import Devices, cib, seen


def run(devices: Devices, *targets: str, device: str | None = None, **states: str) -> tuple[Problem, ...]:
    view = seen(**states)
    wanted = asking.questions(cib(), view, targets or ("n1", "n2", "n3"), device)
    answers = asking.ask(devices, wanted, {}, lambda _: None)
    return asking.judge(wanted, answers, view)


def test_every_device_is_asked_about_its_targets_from_every_node_that_may_use_it() -> None:
    devices = Devices()
    assert run(devices) == ()
    assert sorted(devices.asked) == [
        ("ipmi-n1", "n1", "n2"), ("ipmi-n1", "n1", "n3"),
        ("ipmi-n2", "n2", "n1"), ("ipmi-n2", "n2", "n3"),
        ("ipmi-n3", "n3", "n1"), ("ipmi-n3", "n3", "n2"),
        ("pdu", "n1", "n2"), ("pdu", "n1", "n3"),
        ("pdu", "n2", "n1"), ("pdu", "n2", "n3"),
    ]  # fmt: skip


def test_only_what_is_meant_is_asked() -> None:
    devices = Devices()
    run(devices, "n1", device="pdu")
    assert sorted(devices.asked) == [("pdu", "n1", "n2"), ("pdu", "n1", "n3")]


def test_a_node_that_is_not_there_asks_nothing() -> None:
    devices = Devices()
    assert run(devices, "n1", n3="offline") == ()
    assert sorted(devices.asked) == [("ipmi-n1", "n1", "n2"), ("pdu", "n1", "n2")]


def test_a_device_that_nobody_can_ask_is_a_finding() -> None:
    found = run(Devices(), "n1", device="ipmi-n1", n2="offline", n3="offline")
    assert [(p.code, p.where) for p in found] == [("HA552", "fencing ipmi-n1")]


def test_silence_is_one_finding_that_says_who_asked_and_why() -> None:
    late, bare = Unknown("it did not answer within 40 s"), Unknown("its secrets store has no password for ipmi-n1")
    (found,) = run(Devices({("ipmi-n1", "n1", "n2"): late, ("ipmi-n1", "n1", "n3"): bare}))
    assert (found.code, found.where, found.severity) == ("HA543", "fencing ipmi-n1", "error")
    assert "n2, n3" in found.message
    assert dict(found.facts) == {"from_n2": late.reason, "from_n3": bare.reason}


def test_a_running_node_that_is_said_to_be_off_is_another_machine() -> None:
    (found,) = run(Devices({("pdu", "n2", "n1"): "off", ("pdu", "n2", "n3"): "off"}))
    assert (found.code, found.where) == ("HA544", "fencing pdu")
    assert dict(found.facts) == {"asked_from": "n1, n3"}


def test_a_node_that_is_down_may_be_off() -> None:
    assert run(Devices({("ipmi-n3", "n3", "n1"): "off"}), "n3", n3="offline") == ()


def test_the_document_keeps_unknown_apart_from_off() -> None:
    devices = Devices({("pdu", "n2", "n1"): Unknown("late"), ("pdu", "n2", "n3"): "off"})
    wanted = asking.questions(cib(), seen(), ["n2"], "pdu")
    told = asking.to_json(asking.ask(devices, wanted, {}, lambda _: None), ())
    assert told["format"] == 1
    assert [(a["from"], a["answer"], a["unknown"], a["level"]) for a in told["answers"]] == [  # type: ignore[attr-defined]
        ("n1", None, "late", 2),
        ("n3", "off", None, 2),
    ]


def test_the_devices_own_parameters_are_held_against_their_agents() -> None:
    root = cib()
    root.find(".//nvpair[@id='n3-p']").set("name", "adress")
    known = asking.known_agents(["fence_ipmilan", "fence_of_nobody"], lambda _: None)
    assert set(known) == {"fence_ipmilan"}
    found = asking.parameters(root, ["ipmi-n3", "ipmi-n2"], known)
    assert [(p.code, p.where) for p in found] == [("HA261", "fencing ipmi-n3.adress")]


def test_the_installed_agents_word_counts() -> None:
    own = Metadata("fence_ipmilan", {"adress": Parameter("adress")}, ())
    told = {"stonith:fence_ipmilan": own}
    assert asking.known_agents(["fence_ipmilan"], told.get) == {"fence_ipmilan": own}


def test_a_device_that_finds_its_targets_itself_need_not_know_every_node() -> None:
    root = cib()
    listed = root.find(".//nvpair[@id='n3-l']")
    listed.getparent().remove(listed)
    silence = {
        ("ipmi-n3", target, node): Unknown("no such plug") for target in ("n1", "n2") for node in ("n1", "n2", "n3")
    }
    mute = {("ipmi-n3", "n3", node): Unknown("no such plug") for node in ("n1", "n2")}
    for devices, expected in ((Devices(silence), []), (Devices({**silence, **mute}), ["HA543"] * 3)):
        wanted = asking.questions(root, seen(), ["n1", "n2", "n3"], "ipmi-n3")
        answers = asking.ask(devices, wanted, {}, lambda _: None)
        assert [problem.code for problem in asking.judge(wanted, answers, seen())] == expected


def test_a_device_that_cannot_say_whether_there_is_power_is_asked_whether_it_works() -> None:
    devices = Devices()
    told = {"fence_apc_snmp": Metadata("fence_apc_snmp", {}, (Action("monitor"),))}
    wanted = asking.questions(cib(), seen(), ["n2"], "pdu")
    answers = asking.ask(devices, wanted, told, lambda _: None)
    assert [asked.answer for asked in answers] == ["answers", "answers"]
    assert asking.judge(wanted, answers, seen()) == ()


def test_a_watchdog_is_nobodys_to_ask() -> None:
    root = cib()
    root.find(".//primitive[@id='pdu']").set("type", "fence_watchdog")
    assert asking.questions(root, seen(), ["n1", "n2"], "pdu") == []
