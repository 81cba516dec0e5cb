"""The shipped catalogue is what Debian's fence agents say, and the page on fence devices what the profiles say."""

from __future__ import annotations

import json

import pytest

from hacluster.cib import fence_catalogue
from tests.fencing import make


def test_the_page_on_fence_devices_is_what_the_profiles_say() -> None:
    assert make.PAGE.read_text(encoding="utf-8") == make.page(), "python -m tests.fencing writes it anew"


def test_the_catalogue_knows_agents_and_the_fencer() -> None:
    known = json.loads(fence_catalogue.file().read_text())["agents"]
    assert len(known) > 80
    assert fence_catalogue.described("stonith:fence_ipmilan") is not None
    assert fence_catalogue.described("fence_of_nobody") is None


@pytest.mark.tools
def test_the_catalogue_equals_what_the_installed_agents_say() -> None:
    if make.installed() != fence_catalogue.packages():
        pytest.skip(f"it was made from {dict(fence_catalogue.packages())}, and here is {make.installed()}")
    kept = json.loads(fence_catalogue.file().read_text(encoding="utf-8"))["agents"]
    said = json.loads(json.dumps(make.agents()))
    assert sorted(kept) == sorted(said)
    for agent in kept:
        assert kept[agent] == said[agent], agent
