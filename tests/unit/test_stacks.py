"""docs/storage.md says of each storage stack what the code does: its table is made from stacks.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from hacluster.spec import kinds
from hacluster.spec.table import SPEC
from hacluster.stacks import STACKS, Stack

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"


def table() -> str:
    """The page's table."""
    head = "| type | what Pacemaker runs for it | live | cold | after its node's death | lock under QEMU | hand-over |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *(row(name, stack) for name, stack in STACKS.items())])


def row(name: str, stack: Stack) -> str:
    def word(can: bool) -> str:
        return "yes" if can else "no"

    cold = "after a copy by hand" if stack.copy else word(stack.cold)
    waits = "" if stack.after_a_death == "nothing" else f", after {stack.after_a_death}"
    death = f"starts elsewhere{waits}" if stack.recovers else "is down until the node is back"
    lock = "QEMU's image lock, on all nodes" if stack.image_lock else "none" + ("; a lease can be" * stack.leases)
    handover = "running" if stack.image_lock else "paused" if stack.live else "–"
    return f"| `{name}` | {stack.resources} | {word(stack.live)} | {cold} | {death} | {lock} | {handover} |"


def test_the_page_shows_the_table_of_the_code() -> None:
    assert table() in PAGE.read_text(), f"docs/storage.md must contain:\n{table()}"


def test_the_table_and_the_spec_know_the_same_types() -> None:
    (field,) = [each for each in SPEC.fields if each.name == "storage"]
    assert set(field.type.item.sections) == set(STACKS)  # type: ignore[attr-defined]  # a table of tables by type


@pytest.mark.parametrize("name", STACKS)
def test_what_a_stack_says_of_itself_is_consistent(name: str) -> None:
    stack = STACKS[name]
    assert stack.cold != stack.copy, "a VM either starts elsewhere as it is, or its images have to be copied"
    assert stack.cold or not stack.live, "a disk that is on both nodes at once is also there after a shutdown"
    assert stack.recovers == stack.cold, "a start after a death needs what a start after a shutdown needs"
    assert stack.leases or not stack.image_lock, "what QEMU can lock, virtlockd can lock"


def test_the_page_names_every_refusal_about_storage() -> None:
    text = PAGE.read_text()
    for kind in (
        kinds.UNLOCKED_MOUNT,
        kinds.NFS_VERSION,
        kinds.NOT_MOVABLE,
        kinds.TWO_MANAGERS,
        kinds.VOLUME_TAKEN,
        kinds.REMOTE_NODE,
        kinds.NO_WAIT_FOR_ALL,
    ):
        assert kind.code in text, f"{kind.code} {kind.title}"
