"""Two configurations in, the differences an admin would name out."""

from lxml import etree

from hacluster.plan.changes import Change, Setting, changes


def cib(resources: str = "", constraints: str = "", config: str = "", rest: str = "") -> etree._Element:
    return etree.fromstring(
        f"<cib><configuration><crm_config>{config}</crm_config><nodes/><resources>{resources}</resources>"
        f"<constraints>{constraints}</constraints>{rest}</configuration><status/></cib>"
    )


TEMPLATE = '<template id="t" class="ocf" provider="hacluster" type="VirtualDomain"/>'


def vm(stop: str = "60s", pair: str = "p1", **parameters: str) -> str:
    pairs = "".join(f'<nvpair id="{pair}-{n}" name="{n}" value="{v}"/>' for n, v in parameters.items())
    return (
        f'<primitive id="web" template="t"><instance_attributes id="{pair}">{pairs}</instance_attributes>'
        f'<operations><op id="{pair}-o" name="stop" interval="0s" timeout="{stop}"/></operations></primitive>'
    )


def test_the_same_configuration_differs_in_nothing() -> None:
    assert changes(cib(TEMPLATE + vm(uuid="u")), cib(TEMPLATE + vm(uuid="u"))) == ()


def test_ids_of_nvpairs_and_the_order_of_attributes_make_no_difference() -> None:
    old = cib('<clone id="c"><primitive id="p" class="ocf" type="T"/></clone>' + TEMPLATE + vm(pair="a", uuid="u"))
    new = cib(TEMPLATE + vm(pair="b", uuid="u") + '<clone id="c"><primitive type="T" id="p" class="ocf"/></clone>')
    assert changes(old, new) == ()


def test_a_new_vm_is_called_a_vm_by_its_template() -> None:
    [change] = changes(cib(TEMPLATE), cib(TEMPLATE + vm(uuid="u")))
    assert (change.kind, change.noun, change.ident) == ("add", "VM", "web")
    assert Setting("uuid", None, "u") in change.settings


def test_a_changed_parameter_and_operation_are_told_with_old_and_new() -> None:
    assert changes(cib(TEMPLATE + vm(config="a.xml")), cib(TEMPLATE + vm("90s", config="b.xml"))) == (
        Change(
            "change",
            "VM",
            "web",
            (Setting("config", "a.xml", "b.xml"), Setting("stop 0s timeout", "60s", "90s")),
        ),
    )


def test_removals_come_last() -> None:
    found = changes(
        cib(TEMPLATE + vm(), '<rsc_location id="l" rsc="web" node="n1" score="5"/>'),
        cib(TEMPLATE, '<rsc_order id="o" first="a" then="b"/>'),
    )
    assert [(c.kind, c.noun, c.ident) for c in found] == [
        ("add", "order", "o"),
        ("remove", "VM", "web"),
        ("remove", "location", "l"),
    ]


def test_a_property_is_named_by_its_name_in_whatever_set_it_stands() -> None:
    def prop(ident: str, value: str) -> str:
        return (
            f'<cluster_property_set id="{ident}"><nvpair id="{ident}-q" name="no-quorum-policy" value="{value}"/>'
            "</cluster_property_set>"
        )

    assert changes(cib(config=prop("a", "stop")), cib(config=prop("b", "freeze"))) == (
        Change("change", "property", "no-quorum-policy", (Setting("value", "stop", "freeze"),)),
    )


def test_levels_and_defaults_are_compared_too() -> None:
    new = (
        '<fencing-topology><fencing-level id="f" target="n1" index="1" devices="a"/></fencing-topology>'
        '<rsc_defaults><meta_attributes id="d"><nvpair id="x" name="stickiness" value="1000"/></meta_attributes>'
        "</rsc_defaults>"
    )
    assert [(c.noun, c.ident) for c in changes(cib(), cib(rest=new))] == [("fencing level", "f"), ("defaults", "d")]


def test_the_status_and_the_nodes_are_no_change() -> None:
    live = cib()
    etree.SubElement(live.find("status"), "node_state", id="1")
    etree.SubElement(live.find("configuration/nodes"), "node", id="1", uname="n1")
    assert changes(live, cib()) == ()


def test_no_secret_is_shown_neither_one_that_goes_nor_one_that_stays_in_the_cib() -> None:
    def device(**parameters: str) -> etree._Element:
        pairs = "".join(f'<nvpair id="{n}" name="{n}" value="{v}"/>' for n, v in parameters.items())
        return cib(
            f'<primitive id="f" class="stonith" type="x"><instance_attributes id="i">{pairs}</instance_attributes>'
            "</primitive>"
        )

    [change] = changes(device(passwd="old", odd="plain", login="me"), device(passwd="new", odd="lrm://", login="you"))
    assert change.noun == "fence device"
    assert change.settings == (
        Setting("passwd", "(hidden)", "(hidden)"),
        Setting("odd", "(hidden)", "lrm://"),
        Setting("login", "me", "you"),
    )
