"""`hactl fence` as far as it needs no cluster: profiles, and words that do not go together."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.shell import hactl


def test_the_profiles_are_listed_and_one_is_shown_with_its_reasons() -> None:
    listed = hactl("fence", "profiles")
    assert listed.returncode == 0
    assert all(name in listed.stdout for name in ("ipmilan", "redfish", "fence_mpath", "watchdog"))
    shown = hactl("fence", "profiles", "fence_idrac").stdout
    assert "needs ip: the address of the iDRAC" in shown
    assert "must not have method=cycle" in shown


def test_a_profile_as_json_is_whole() -> None:
    told = json.loads(hactl("fence", "profiles", "scsi", "--json").stdout)
    assert told["format"] == 1
    (profile,) = told["profiles"]
    assert (profile["cuts"], profile["provides"], sorted(profile["required"])) == ("storage", "unfencing", ["devices"])


def test_an_unknown_profile_names_the_nearest() -> None:
    done = hactl("fence", "profiles", "redfsih")
    assert (done.returncode, "HA270" in done.stderr, "did you mean redfish?" in done.stderr) == (1, True, True)


@pytest.mark.parametrize(
    "words", [("n1", "--really", "n2"), ("--device", "d", "--really", "n2"), ("--dry-run",), ("n1", "--dry-run")]
)
def test_words_that_do_not_go_together_are_wrong_usage(words: tuple[str, ...]) -> None:
    assert hactl("fence", "test", *words).returncode == 2
