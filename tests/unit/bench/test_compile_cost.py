"""The benchmark of compiling: that it compiles what it says, and draws what it measured."""

from __future__ import annotations

import subprocess
import sys

import pytest
from lxml import etree

from hacluster.spec import parse
from tests.bench import compile_cost, figures, fleet, plot
from tests.bench.compile_cost import Compile, Run
from tests.bench.push import Call
from tests.bench.stage import Failed
from tests.unit.spec.example import EXAMPLES


@pytest.mark.parametrize("vms", [0, 25])
def test_the_fleet_is_a_spec_without_fault(vms: int) -> None:
    made, found = parse(fleet.spec(vms).encode(), EXAMPLES)
    assert found == ()
    assert made is not None
    assert (len(made.nodes), len(made.vms)) == (16, vms)
    assert len(made.anti_affinities) == len(made.start_orders) == vms // fleet.RULES_EVERY


def test_a_call_for_each_vm_costs_more_the_more_there_are() -> None:
    calls = (Call(0, 1.0, 0.5), Call(1000, 3.0, 1.5))
    assert Compile((), calls).pcs() == pytest.approx(1000 * 1.0 + 0.002 * 999 * 1000 / 2)
    assert Compile((), calls).pcs("cpu") == pytest.approx(1000 * 0.5 + 0.001 * 999 * 1000 / 2)


def test_what_does_not_grow_evenly_is_told() -> None:
    even = Compile(tuple(Run(n, 1 + n / 1000, 1.0, 50.0) for n in (0, 1000, 2000)), ())
    assert even.bend("seconds") == pytest.approx(0)
    square = Compile(tuple(Run(n, (n / 1000) ** 2, 1.0, 50.0) for n in (0, 1000, 2000)), ())
    assert square.bend("seconds") > 0.1


def test_a_command_that_fails_is_no_measurement() -> None:
    seconds, cpu, memory = compile_cost._measured([sys.executable, "-c", "x = bytearray(64 << 20)"])
    assert seconds > 0
    assert cpu > 0
    assert memory > 64
    with pytest.raises(Failed, match="ended with 3"):
        compile_cost._measured([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_plot_has_every_point_in_its_place() -> None:
    points = [(0.0, 0.2), (1000.0, 0.7), (3000.0, 1.7)]
    panel = plot.Panel("seconds <by> VMs", "s", points, figures.line(points), (1000, 1.0))
    drawn = etree.fromstring(plot.svg([panel, panel]).encode())
    circles = drawn.findall(".//{*}circle")
    assert len(circles) == 6
    x, y = ([float(c.get(axis)) for c in circles[:3]] for axis in ("cx", "cy"))
    assert x[1] - x[0] == pytest.approx((x[2] - x[0]) / 3, abs=0.1)
    assert (y[0] - y[1]) / 0.5 == pytest.approx((y[1] - y[2]) / 1.0, abs=1)
    labels = {text.text for text in drawn.iter("{*}text")}
    assert {"seconds <by> VMs", "1 s for 1000 VMs", "0", "1000", "3000"} <= labels


@pytest.mark.parametrize(("command", "module"), [("compile", "compile"), ("init", "spec")])
def test_a_command_that_needs_no_cluster_loads_nothing_of_one(command: str, module: str) -> None:
    script = (
        f"import sys; sys.argv = ['hactl', '{command}', '--help']\n"
        "from hacluster.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('paramiko', 'libvirt', 'hacluster.observe') if name in sys.modules], "
        f"'hacluster.cli.{module}' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] True"
