"""A device's parameters against what its agent says: unknown, misspelt, old and mistyped ones are found."""

from __future__ import annotations

import pytest

from hacluster.cib import fence_catalogue, fence_parameters
from hacluster.cib.metadata import Metadata, Parameter
from hacluster.problems import Problem

OWN = Metadata("fence_own", {"ip": Parameter("ip"), "level": Parameter("level", "integer")}, ())


def check(
    given: dict[str, str], agent: str = "fence_ipmilan", describe: fence_parameters.Describe | None = None
) -> list[Problem]:
    return list(fence_parameters.check(agent, given, "fence_devices.d", describe))


def codes(**given: str) -> list[str]:
    return [problem.code for problem in check(given)]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("usrename", "username"),
        ("lan_plus", "lanplus"),
        ("pcmk_host_lst", "pcmk_host_list"),
        ("ipadr", "ip"),
        ("zzzz", None),
    ],
)
def test_an_unknown_parameter_names_the_nearest(name: str, meant: str | None) -> None:
    (found,) = check({name: "1"})
    assert (found.code, found.where, found.severity) == ("HA261", f"fence_devices.d.{name}", "error")
    assert ("did you mean" in found.message) is (meant is not None)
    assert meant is None or (f"did you mean {meant}?" in found.message and found.remedy == f"rename it to {meant}")


@pytest.mark.parametrize(("old", "new"), [("ipaddr", "ip"), ("login", "username"), ("port", "plug"), ("secure", "ssh")])
def test_an_old_name_says_the_new_one(old: str, new: str) -> None:
    (found,) = check({old: "1"}, "fence_ilo5_ssh")
    assert (found.code, found.severity, found.remedy) == ("HA262", "warning", f"rename it to {new}")


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("ipport", "623", True), ("ipport", "six", False), ("ipport", "", False),
        ("power_wait", "5", True), ("power_wait", "5s", False), ("power_wait", "1.5", False),
        ("lanplus", "1", True), ("lanplus", "True", True), ("lanplus", "off", True), ("lanplus", "y", False),
        ("privlvl", "operator", True), ("privlvl", "OPERATOR", False), ("privlvl", "oprator", False),
        ("cipher", "anything", True), ("password", "lrm://", True), ("ipport", "lrm://", True),
        ("pcmk_delay_max", "10s", True), ("pcmk_delay_max", "soon", False),
        ("pcmk_action_limit", "-1", True), ("pcmk_action_limit", "many", False),
        ("pcmk_list_action", "list", True), ("pcmk_diag_timeout", "60s", True), ("pcmk_host_map", "n1:1", True),
    ],
)  # fmt: skip
def test_a_value_is_of_its_parameters_type(name: str, value: str, right: bool) -> None:
    assert codes(**{name: value}) == ([] if right else ["HA263"])


def test_a_wrong_choice_names_the_nearest_and_all() -> None:
    (found,) = check({"privlvl": "oprator"})
    assert "did you mean operator?" in found.message
    assert '"administrator"' in found.remedy


def test_what_every_agent_is_told_is_nobodys_mistake() -> None:
    assert codes(nodename="n1", nodeid="1") == []


def test_the_installed_agents_word_counts_before_the_catalogue() -> None:
    found = check({"lanplus": "1", "level": "x"}, describe=lambda _: OWN)
    where = "fence_devices.d"
    assert [(p.code, p.where) for p in found] == [("HA261", f"{where}.lanplus"), ("HA263", f"{where}.level")]
    assert check({"lanplus": "1"}, describe=lambda _: None) == []


def test_an_agent_that_nobody_knows_is_not_checked_and_says_so() -> None:
    (found,) = check({"x": "1"}, "fence_own")
    assert (found.code, found.severity) == ("HA264", "warning")
    assert check({"ip": "1"}, "fence_own", lambda _: OWN) == []


def test_a_long_value_is_cut() -> None:
    (found,) = check({"privlvl": "x" * 5000})
    assert len(found.message) < 300


@pytest.mark.parametrize(
    "parameter",
    [
        Parameter("a"), Parameter("a", "integer", True), Parameter("a", "string", True, None, (), True, "b"),
        Parameter("a", "string", deprecated=True), Parameter("a", "select", options=("x y", "z")),
    ],
)  # fmt: skip
def test_the_catalogue_keeps_what_is_checked(parameter: Parameter) -> None:
    kept = fence_catalogue.decode("x", fence_catalogue.encode(Metadata("x", {"a": parameter}, ())))
    assert kept.parameters == {"a": parameter}
