"""What a CIB's VMs are, read as Pacemaker reads it."""

import pytest
from lxml import etree

from hacluster.cib import managed


@pytest.mark.parametrize(("value", "moves"), [("true", True), ("Y", True), ("1", True), ("n", False), ("", False)])
def test_a_vm_moves_live_by_every_word_that_pacemaker_takes_for_true(value: str, moves: bool) -> None:
    cib = etree.fromstring(
        '<cib><configuration><resources><primitive id="web" class="ocf" provider="hacluster" type="VirtualDomain">'
        f'<meta_attributes id="m"><nvpair id="n" name="allow-migrate" value="{value}"/></meta_attributes>'
        "</primitive></resources></configuration></cib>"
    )
    assert [vm.moves_live for vm in managed.vms(cib)] == [moves]
