"""Is a template right? Its XML, its holes, Pacemaker's schemas, its agent's metadata, and what it leaves out. Pure.

Each finding names the file and, where there is one, the line. What is not installed here is not asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from lxml import etree

from hacluster.cib.compile import FEATURE_SET, SCHEMA
from hacluster.cib.durations import seconds
from hacluster.cib.metadata import Metadata
from hacluster.cib.nouns import NOUNS
from hacluster.cib.schema import DIRECTORY
from hacluster.cib.templates import OTHER_ROOT, Library, Template
from hacluster.problems import Problem, Refused, kind
from hacluster.spec.wording import nearest

UNUSED = kind(
    "HA215",
    "A template that nothing is made from",
    "hactl compile asks for its own templates by name; a file with another name is never read.",
)
OFF_SCHEMA = kind(
    "HA216",
    "A template makes what Pacemaker does not take",
    "Pacemaker checks a configuration against its schema and refuses it as a whole: nothing could be applied.",
)
UNKNOWN_TO_AGENT = kind(
    "HA217",
    "A template names a parameter or an operation that its agent does not have",
    "The agent ignores an unknown parameter, and an operation that it does not have fails.",
)
TOO_SHORT = kind(
    "HA218",
    "A template gives an operation less time than its agent advises",
    "An operation that runs out of time counts as failed: for a stop that is the node's death.",
    severity="warning",
)
LEAVES_OUT = kind(
    "HA219",
    "An operator's template lacks what the shipped one has",
    "Each setting of the shipped templates has its reason, which stands in their comments. Without migrate_to "
    "on-fail=block, for instance, a failed live migration ends in a cold restart.",
    severity="warning",
)

Describe = Callable[[str], Metadata | None]
_FENCING = re.compile(r"pcmk_\w+")


def check(
    library: Library, shipped: Library, describe: Describe, schemas: Path = DIRECTORY, only: Iterable[str] | None = None
) -> tuple[Problem, ...]:
    """Every finding about the library's templates (or `only` those)."""
    names = library.names() if only is None else only
    return tuple(problem for name in names for problem in _check(name, library, shipped, describe, schemas))


def _check(name: str, library: Library, shipped: Library, describe: Describe, schemas: Path) -> Iterator[Problem]:
    noun = NOUNS.get(name)
    if noun is None:
        stray = next(path for d in library.directories if (path := d / f"{name}.xml").is_file())
        near = nearest(name, NOUNS)
        yield UNUSED(
            f"no noun is called {name}" + (f"; {near} is probably meant" if near else ""),
            where=str(stray),
            remedy=f"mv {stray} {stray.with_name(f'{near}.xml')}" if near else f"rm {stray}",
        )
        return
    try:
        template = library.get(name)
        filled = [library.render(name, noun.root, **noun.values(bare=bare)) for bare in (False, True)]
    except Refused as no:
        yield from no.problems
        return
    if filled[0].tag != noun.tag or filled[0].get("id") != noun.root:
        yield OTHER_ROOT(
            f"it makes a {filled[0].tag} with the id {filled[0].get('id')}, not a {noun.tag} with {noun.root}",
            where=f"{template.source}:{filled[0].sourceline}",
            remedy=f"compare it with `hactl template show {name} --shipped`",
        )
        return
    yield from _schemas(template, filled, schemas)
    yield from _agent(template, filled[0], describe)
    if (theirs := shipped.get(name)).source != template.source:
        yield from _left_out(template, filled[0], shipped.render(name, noun.root, **noun.values()), theirs)


def newer_schemas(directory: Path = DIRECTORY) -> tuple[str, ...]:
    """The installed schemas that are not older than the one that is compiled to, oldest first."""
    numbered = [
        (int(match[1]), int(match[2]))
        for path in directory.glob("pacemaker-*.rng")
        if (match := re.fullmatch(r"pacemaker-(\d+)\.(\d+)", path.stem))
    ]
    oldest = tuple(int(part) for part in SCHEMA.removeprefix("pacemaker-").split("."))
    return tuple(f"pacemaker-{major}.{minor}" for major, minor in sorted(numbered) if (major, minor) >= oldest)


def _schemas(template: Template, filled: Iterable[etree._Element], directory: Path) -> Iterator[Problem]:
    told: set[tuple[int, str]] = set()
    for schema in newer_schemas(directory):
        relaxng = _schema(directory / f"{schema}.rng")
        for element in filled:
            if relaxng.validate(_cib(element, schema)):
                continue
            # Elements around the template have no line; what libxml2 says of them only repeats it.
            errors = [e for e in relaxng.error_log if e.line > 0] or list(relaxng.error_log)[:1]
            for error in errors:
                if (error.line, error.message) not in told:
                    told.add((error.line, error.message))
                    yield OFF_SCHEMA(
                        error.message,
                        where=f"{template.source}:{error.line}" if error.line > 0 else str(template.source),
                        remedy=f"compare it with `hactl template show {template.name} --shipped`",
                        schema=schema,
                    )


@cache
def _schema(path: Path) -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(str(path)))


_SECTIONS = {"cluster_property_set": "crm_config", "meta_attributes": "rsc_defaults"}


def _cib(element: etree._Element, schema: str) -> etree._Element:
    """The smallest CIB around one rendered template."""
    cib = etree.Element(
        "cib", {"validate-with": schema, "crm_feature_set": FEATURE_SET, "epoch": "1", "num_updates": "0"}
    )
    cib.set("admin_epoch", "0")
    configuration = etree.SubElement(cib, "configuration")
    for section in ("crm_config", "nodes", "resources", "constraints"):
        etree.SubElement(configuration, section)
    section = _SECTIONS.get(element.tag, "resources")
    place = configuration.find(section)
    (etree.SubElement(configuration, section) if place is None else place).append(element)
    etree.SubElement(cib, "status")
    return cib


def _agent(template: Template, filled: etree._Element, describe: Describe) -> Iterator[Problem]:
    for primitive in filled.iter("primitive"):
        agent = ":".join(word for part in ("class", "provider", "type") if (word := primitive.get(part)))
        described = describe(agent)
        if described is None:
            continue
        for pair in primitive.iterfind("instance_attributes/nvpair"):
            name = pair.get("name", "")
            if name in described.parameters or (agent.startswith("stonith:") and _FENCING.fullmatch(name)):
                continue
            near = nearest(name, described.parameters)
            yield UNKNOWN_TO_AGENT(
                f"{agent} has no parameter {name}" + (f"; {near} is probably meant" if near else ""),
                where=f"{template.source}:{pair.sourceline}",
                remedy=f"write {near}" if near else "take the line out",
            )
        yield from _operations(template, primitive, agent, described)


def _operations(template: Template, primitive: etree._Element, agent: str, described: Metadata) -> Iterator[Problem]:
    known = {action.name for action in described.actions}
    for op in primitive.iterfind("operations/op"):
        name, where = op.get("name", ""), f"{template.source}:{op.sourceline}"
        # Every fence device can be started and stopped, which its agent does not say: Pacemaker does that itself.
        if name not in known and not (agent.startswith("stonith:") and name in ("start", "stop")):
            near = nearest(name, known)
            yield UNKNOWN_TO_AGENT(
                f"{agent} has no operation {name}" + (f"; {near} is probably meant" if near else ""),
                where=where,
                remedy=f"write {near}" if near else "take the line out",
            )
            continue
        action, timeout = described.action(name), seconds(op.get("timeout", ""))
        advised = None if action is None else action.timeout
        if advised is not None and timeout is not None and timeout < advised:
            yield TOO_SHORT(
                f"{name} has {timeout:g} s, and {agent} advises {advised:g}",
                where=where,
                remedy=f'write timeout="{advised:g}s" or more',
            )


def _left_out(
    template: Template, filled: etree._Element, shipped: etree._Element, theirs: Template
) -> Iterator[Problem]:
    """Settings and operations of the shipped template that this one has nothing for."""
    mine, has = _settings(filled), _settings(shipped)
    lacking = [words for key, words in has.items() if key not in mine]
    if lacking:
        yield LEAVES_OUT(
            f"it has no {', '.join(lacking)}",
            where=str(template.source),
            remedy=f"add it as {theirs.source.name} has it: hactl template show {template.name} --shipped",
        )


def _settings(element: etree._Element) -> Mapping[tuple[str, ...], str]:
    """What a template sets, by where it stands: an nvpair's name, an operation's name, and each operation's on-fail."""
    found: dict[tuple[str, ...], str] = {}
    for pair in element.iter("nvpair"):
        found["nvpair", pair.getparent().tag, pair.get("name", "")] = pair.get("name", "")
    for op in element.iter("op"):
        name = op.get("name", "")
        found["op", name] = f"operation {name}"
        if op.get("on-fail"):
            found["on-fail", name] = f"{name} on-fail={op.get('on-fail')}"
    # An operation that is missing whole is said once.
    return {key: words for key, words in found.items() if key[0] != "on-fail" or ("op", key[1]) in found}
