"""`hactl fence`: the devices that switch nodes off, what is known of their kinds, and whether they work."""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Table

from hacluster import rehearsal
from hacluster.cib import fence_devices
from hacluster.cib import fencing as profiles
from hacluster.cib.fence_parameters import Describe
from hacluster.cli import render, surroundings
from hacluster.cli.cluster import JSON, NODE, paint, proven, table_of
from hacluster.cli.progress import Line
from hacluster.cli.shell import Commands
from hacluster.cli.world import World, connect
from hacluster.edge.agents import InstalledAgents
from hacluster.edge.fencing import NodeFencing
from hacluster.fences import asking, listing, proving
from hacluster.fences.asking import Asked
from hacluster.fences.proving import Trial
from hacluster.ports import Unknown
from hacluster.problems import Refused, errors, kind
from hacluster.rehearsal import Looked
from hacluster.spec.wording import nearest

NO_SUCH = kind("HA550", "There is no such node or fence device", "The names are those of the running cluster.")

NO_PROFILE = kind(
    "HA270",
    "There is no such fencing profile",
    "A profile says what a kind of fence device needs. hactl knows the parameters of an agent without one, no more.",
)

fences = typer.Typer(cls=Commands, help="Fence devices: what they are, and whether they work.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `hactl fence` to the command line."""
    app.add_typer(fences, name="fence")


@fences.callback()
def about() -> None:
    """The devices that switch nodes off, and the proof that they do."""


@fences.command("list")
def list_(node: str = NODE, as_json: bool = JSON) -> None:
    """List the fence devices: whom each fences and at which level, where it runs, and when it was proven to work."""
    looked = rehearsal.look(connect(node))
    if as_json:
        render.json_out(listing.to_json(looked))
        return
    table = table_of("device", "agent", "fences", "may be used by", "runs on", "proven")
    for row in listing.rows(looked):
        fenced = ", ".join(f"{each.node} (level {each.level})" if each.level else each.node for each in row.targets)
        table.add_row(
            row.device.name,
            row.device.agent,
            fenced or "nobody",
            ", ".join(row.users) or "[red]nobody[/]",
            paint(row.runs),
            proven(looked.seen, row.device.name, [each.node for each in row.targets]) if row.targets else "–",
        )
    render.out.print(table if table.row_count else "the cluster has no fence device")


@fences.command("profiles")
def profiles_(
    name: str = typer.Argument(None, metavar="[NAME]", help="a profile, or a fence agent", show_default=False),
    as_json: bool = JSON,
) -> None:
    """Show what each kind of fence device needs, should have and must not have, and why. Needs no cluster."""
    known = profiles.profiles()
    chosen = [each for each in known if name is None or name in (each.name, *each.agents)]
    if not chosen:
        meant = nearest(name, [word for each in known for word in (each.name, *each.agents)])
        raise Refused(
            NO_PROFILE(
                f"no profile is called {name}, or knows an agent of that name"
                + (f"; did you mean {meant}?" if meant else ""),
                where="NAME",
                remedy=f"hactl fence profiles {meant}" if meant else "hactl fence profiles",
            )
        )
    if as_json:
        render.json_out({"format": 1, "profiles": [profiles.to_json(each) for each in chosen]})
    elif name is None:
        table = table_of("profile", "cuts", "agents", "what it is")
        for each in chosen:
            table.add_row(each.name, each.cuts, ", ".join(each.agents), escape(each.purpose))
        render.out.print(table)
    else:
        for each in chosen:
            _profile(each)


def _profile(each: profiles.Profile) -> None:
    said = "one node" if each.targets == "one" else "several nodes"
    render.out.print(f"[bold]{each.name}[/]: {', '.join(each.agents)}\n{escape(each.purpose)} {escape(each.why)}")
    render.out.print(f"It cuts {each.cuts}; a device fences {said}.")
    if each.called is not None:
        render.out.print(f"It has to be called {each.called}.")
    for word, rules in profiles.rules(each):
        for parameter, reason in rules.items():
            render.out.print(f"  {word} [bold]{escape(parameter)}[/]: {escape(reason)}")


@fences.command()
def test(
    nodes: list[str] = typer.Argument(None, metavar="[NODE...]", help="the nodes to be fenced", show_default=False),
    device: str = typer.Option(None, "--device", metavar="DEVICE", help="this device only", show_default=False),
    really: str = typer.Option(
        None, "--really", metavar="NODE", help="switch this drained node off and on, and prove it", show_default=False
    ),
    wait: float = typer.Option(
        proving.WAIT, "--wait", metavar="SECONDS", help="with --really: how long the node may take to come back"
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="with --really: check everything, switch nothing"),
    node: str = NODE,
    as_json: bool = JSON,
) -> None:
    """Ask each fence device about each node that it fences, from every node that may have to use it.

    With --really NODE the node is fenced by Pacemaker, and its boot id proves that it was this machine that went down.
    """
    if really is not None and (nodes or device is not None):
        raise typer.BadParameter("takes one node; name no others and no device beside it", param_hint="--really")
    if dry_run and really is None:
        raise typer.BadParameter("without --really nothing is switched anyway", param_hint="--dry-run")
    world = connect(node)
    looked = rehearsal.look(world)
    if really is not None:
        _named(looked, [really], None)
        _really(world, looked, really, wait, dry_run, as_json)
        return
    targets = _named(looked, nodes or [], device)
    wanted = asking.questions(looked.cib, looked.seen, targets, device)
    fencing = NodeFencing(world.runner)
    with Line("fence test") as line:
        known = asking.known_agents([each.device.agent for each in wanted], _describe(world))
        answers = asking.ask(fencing, wanted, known, line)
    found = (
        *asking.parameters(looked.cib, [question.device.name for question in wanted], known),
        *asking.judge(wanted, answers, looked.seen),
    )
    if as_json:
        render.json_out(asking.to_json(answers, found))
    else:
        render.out.print(_answers(answers) if answers else "there is nothing to ask")
        render.problems(found)
    if errors(found):
        raise typer.Exit(1)


def _really(world: World, looked: Looked, target: str, wait: float, dry_run: bool, as_json: bool) -> None:
    with Line("fence test") as line:
        fencing = NodeFencing(world.runner)
        agents = [device.agent for device in fence_devices.devices(looked.cib)]
        known = asking.known_agents(agents, _describe(world))
        trial = Trial(world, fencing, target, known, line)
        if dry_run:
            found = trial.check(looked)
        else:
            done = trial.prove(wait)
    if dry_run:
        render.problems(found, as_json)
        if errors(found):
            raise typer.Exit(1)
        if not as_json:
            render.out.print(f"nothing speaks against fencing {target} now; nothing was done")
        return
    if as_json:
        render.json_out(proving.to_json(done))
        return
    render.out.print(
        f"{target} went down and came back: {', '.join(done.proof.devices)} fenced it within "
        f"{done.fenced_after:.0f} s, and it answered {done.back_after:.0f} s later from another boot"
    )
    if not done.online:
        render.out.print(f"[yellow]its cluster did not start by itself:[/] pcs cluster start {target}")
    render.out.print(f"let it have its VMs again: pcs node unstandby {target}")


def _describe(world: World) -> Describe:
    """The metadata of the agents that are installed on the node that hactl works through."""
    node = world.pacemaker.local_node()
    return surroundings.describe(InstalledAgents(run=lambda argv, limit: world.runner.run(node, argv, deadline=limit)))


def _named(looked: Looked, nodes: list[str], device: str | None) -> list[str]:
    """The targets that are meant: those named, else all. Raises Refused for each name that is not in the cluster."""
    known = [node.name for node in looked.seen.nodes]
    devices = [each.name for each in looked.seen.fencing]
    wrong = [(f"node {name}", name, known) for name in nodes if name not in known]
    if device is not None and device not in devices:
        wrong.append((f"fencing {device}", device, devices))
    if wrong:
        raise Refused(
            NO_SUCH(
                f"the cluster has no {where}" + (f"; did you mean {meant}?" if (meant := nearest(name, among)) else ""),
                where=where,
                remedy="hactl fence list",
                known=", ".join(among) or "none",
            )
            for where, name, among in wrong
        )
    return list(dict.fromkeys(nodes)) or known


def _answers(answers: tuple[Asked, ...]) -> Table:
    """One line for each device and target: what was answered, and who asked."""
    table = table_of("device", "agent", "fences", "level", "answers")
    rows: dict[tuple[str, str], list[Asked]] = {}
    for asked in answers:
        rows.setdefault((asked.device, asked.target), []).append(asked)
    for (device, target), row in rows.items():
        words: dict[str, list[str]] = {}
        for asked in row:
            words.setdefault(_word(asked), []).append(asked.node)
        said = "; ".join(f"{word} from {', '.join(nodes)}" for word, nodes in words.items())
        table.add_row(device, row[0].agent, target, str(row[0].level or "–"), said)
    return table


def _word(asked: Asked) -> str:
    if isinstance(asked.answer, Unknown):
        return f"[red]no answer[/] ({escape(asked.answer.reason)})"
    return asked.answer if asked.answer == "on" else f"[yellow]{asked.answer}[/]"
