"""`hactl template`: the fragments that `hactl compile` fills, those of an operator's own, and whether they are "
"right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from lxml import etree

from hacluster import spec as specs
from hacluster.cib.compile import compile_element
from hacluster.cib.nouns import NOUNS, SAMPLES
from hacluster.cib.templates import OVERRIDES, UNKNOWN_TEMPLATE, Library, Value, shipped_directory
from hacluster.cli import render, surroundings
from hacluster.cli.shell import Commands
from hacluster.edge.agents import InstalledAgents
from hacluster.lint import templates as template_check
from hacluster.problems import Problem, Refused, errors
from hacluster.spec.wording import nearest, quoted

_NAME = typer.Argument(..., metavar="NAME", show_default=False)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    templates = typer.Typer(cls=Commands, help="The CIB fragments that `hactl compile` fills.", no_args_is_help=True)
    templates.command("list")(list_templates)
    templates.command("show")(show_template)
    templates.command("render")(render_template)
    templates.command("check")(check_templates)
    app.add_typer(templates, name="template")


def list_templates(as_json: bool = typer.Option(False, "--json", help="for machines")) -> None:
    """The templates: what each is for, and the file that counts."""
    library = Library()
    templates = [library.get(name) for name in library.names()]
    if as_json:
        rows = [
            {"name": t.name, "purpose": t.purpose, "source": str(t.source), "values": _values(t.name)}
            for t in templates
        ]
        render.json_out({"format": 1, "templates": rows})
        return
    for template in templates:
        own = "" if template.source.parent == shipped_directory() else f"  ({template.source})"
        sys.stdout.write(f"{template.name:13} {template.purpose}{own}\n")


def _values(name: str) -> dict[str, str]:
    """What can stand in a template's holes, with its meaning."""
    noun = NOUNS.get(name)
    return {} if noun is None else {value: SAMPLES[value][1] for value in sorted((*noun.needed, *noun.optional))}


def show_template(
    name: str = _NAME,
    shipped: bool = typer.Option(False, "--shipped", help="hacluster's own, not the operator's"),
) -> None:
    """Print a template as it is used: the operator's where there is one."""
    library = Library([shipped_directory()] if shipped else None)
    sys.stdout.buffer.write(library.get(_known(name, library)).text)


def render_template(
    name: str = _NAME,
    path: Path = typer.Argument(
        None, metavar="[SPEC]", help="fill it with this spec's values; else with samples", show_default=False
    ),
    shipped: bool = typer.Option(False, "--shipped", help="hacluster's own, not the operator's"),
) -> None:
    """Print what a template makes: of a spec everything that is made from it, else one with sample values."""
    library = _Recording([shipped_directory()] if shipped else None)
    noun = NOUNS.get(_known(name, library))
    if noun is None:
        raise Refused(template_check.check(library, library, lambda _agent: None, only=[name]))
    if path is None:
        library.render(name, noun.root, **noun.values())
    else:
        compile_element(specs.load(path, specs.ACCEPTABLE), library)
    for element in library.made.get(name, ()):
        etree.indent(element, space="  ")
        sys.stdout.write(etree.tostring(element, encoding="unicode") + "\n")


class _Recording(Library):
    """A library that remembers what was made of each template, as it was before the compiler added to it."""

    made: dict[str, list[etree._Element]]

    def render(self, name: str, root_id: str, /, **values: Value) -> etree._Element:
        """As Library.render."""
        element = super().render(name, root_id, **values)
        self.__dict__.setdefault("made", {}).setdefault(name, []).append(etree.fromstring(etree.tostring(element)))
        return element


def _known(name: str, library: Library) -> str:
    if name not in library.names():
        near = nearest(name, library.names())
        raise Refused(
            UNKNOWN_TEMPLATE(
                f"no template is called {quoted(name)}" + (f"; did you mean {near}?" if near else ""),
                where="NAME",
                remedy="hactl template list",
            )
        )
    return name


def check_templates(
    names: list[str] = typer.Argument(None, metavar="[NAME]…", help="only these", show_default=False),
    as_json: bool = typer.Option(False, "--json", help="findings as JSON"),
) -> None:
    """Say what is wrong with the templates, the operator's and hacluster's: XML, holes, schemas, agents' metadata."""
    library = Library()
    found = tuple(own_templates([_known(name, library) for name in names] if names else library.names()))
    render.problems(found, as_json)
    if errors(found):
        raise typer.Exit(1)
    if not as_json:
        said = f"no errors, warnings: {len(found)}" if found else "nothing stands against them"
        render.out.print(f"{len(names or library.names())} templates: {said}")


def own_templates(names: list[str] | tuple[str, ...] | None = None) -> Iterator[Problem]:
    """The findings about templates; without names those of the operator's own."""
    if names is None:
        names = sorted(path.stem for path in OVERRIDES.glob("*.xml"))
    shipped = Library([shipped_directory()])
    yield from template_check.check(Library(), shipped, surroundings.describe(InstalledAgents()), only=names)
