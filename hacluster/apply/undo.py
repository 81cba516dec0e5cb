"""Taking an apply back: the configuration from before it, put together with what others did since, and planned."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from lxml import etree

from hacluster.apply import past, record
from hacluster.apply.delivery import File
from hacluster.apply.prepare import Goal, Prepared, plan_for
from hacluster.apply.record import Record, as_cib
from hacluster.apply.sight import Sight
from hacluster.cib import merge, names
from hacluster.cib.difference import configuration, elements
from hacluster.cib.threeway import Combination, Theirs
from hacluster.observe.read import node_names
from hacluster.plan.make import NOT_VALID
from hacluster.ports import World
from hacluster.problems import Refused, kind

NOTHING_TO_UNDO = kind(
    "HA357",
    "There is no record of what is to be undone",
    "Every apply leaves one on the nodes, and the CIB names the newest. Twenty are kept.",
)

WRONG_BEFORE = kind(
    "HA358",
    "The configuration from before had an error",
    "crm_verify finds it there, as it would have then. What has no fence device, for instance, starts nothing.",
    acceptable=True,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One apply or undo of the past, by the name of its record. `record` is None when no node has it any more."""

    name: str
    record: Record | None


def past_of(world: World) -> tuple[Entry, ...]:
    """What was applied and undone, the newest first, as far back as records are kept."""
    raw = world.pacemaker.cib()
    live, nodes = etree.fromstring(raw), node_names(raw)
    newest = record.applied(live)
    if not newest:
        return ()
    first = past.read(world, [newest], nodes).get(newest)
    earlier = first.ancestors[: record.KEPT - 1] if first is not None else ()
    found = past.read(world, earlier, nodes)
    return (Entry(newest, first), *(Entry(name, found[name]) for name in earlier if name in found))


def prepare(world: World, change: str = "", keep: frozenset[str] = frozenset()) -> Prepared:
    """Plan to take back the newest apply, or all of them down to the one whose record's name begins with `change`.

    What others did since stays; where they changed the very thing, that is a conflict. Raises Refused when there is
    nothing to undo, or something that others made needs what would go.
    """
    sight = Sight(world, ())
    nodes = node_names(sight.raw)
    todo = _records(world, sight, change)
    cib, theirs = deepcopy(sight.live), list[Theirs]()
    cib.replace(cib.find("configuration"), configuration(cib))
    for each in todo:
        cib = _without(cib, each, keep, theirs)
    _own_notes(cib, todo[-1])
    restated = merge.restated(sight.live, cib)
    gone = {found.id for found in restated.changes if found.kind == "remove" and found.section == "resources"}
    inner = {e.get("id") for e in sight.live.iterfind("configuration/resources//*[@id]") if e.tag in _RESOURCES}
    left = {e.get("id") for e in cib.iterfind("configuration/resources//*[@id]") if e.tag in _RESOURCES}
    if problems := list(merge.dangling(cib, gone | (inner - left))):
        raise Refused(problems)
    etree.indent(cib, space="  ")
    merged = merge.Merged(cib, restated.changes, tuple(theirs))
    files = {path: content for each in todo for path, content in each.files.items()}
    command = f"hactl undo {change}".rstrip()
    wanted = _wanted(world, nodes, todo[-1])
    goal = Goal(merged, nodes, _files(files), wanted, undoes=_name(sight), command=command)
    return _forgiving(world, plan_for(world, sight, goal), todo[-1], command)


def _forgiving(world: World, prepared: Prepared, oldest: Record, command: str) -> Prepared:
    """With a risk in place of each error that the configuration from before had already."""
    found = [problem for problem in prepared.problems if problem.code == NOT_VALID.code]
    if not found:
        return prepared
    cib = deepcopy(prepared.before)
    cib.replace(cib.find("configuration"), as_cib(oldest.before).find("configuration"))
    then = set(world.pacemaker.verify(etree.tostring(cib)))
    told = tuple(
        WRONG_BEFORE(problem.message, where="CIB", remedy=f"{command} --accept {WRONG_BEFORE.code}")
        if problem in found and problem.message in then
        else problem
        for problem in prepared.problems
    )
    return replace(prepared, problems=told)


_RESOURCES = ("primitive", "group", "clone", "bundle", "master", "template")


def _records(world: World, sight: Sight, change: str) -> Sequence[Record]:
    """The records to take back, the newest first. Raises Refused."""
    if sight.last is None:
        why = sight.problems[0].message if sight.problems else "hactl has applied nothing to this cluster"
        raise Refused(NOTHING_TO_UNDO(why, where="CIB", remedy="hactl undo --list"))
    if not change or _name(sight).startswith(change):
        return (sight.last,)
    earlier = sight.last.ancestors[: record.KEPT - 1]
    known = past.read(world, earlier, node_names(sight.raw))
    todo = [sight.last]
    for name in earlier:
        if name not in known:
            break
        todo.append(known[name])
        if name.startswith(change):
            return tuple(todo)
    raise Refused(
        NOTHING_TO_UNDO(f"no record that is kept begins with {change}", where=change, remedy="hactl undo --list")
    )


def _name(sight: Sight) -> str:
    return record.applied(sight.live)


def _without(cib: etree._Element, taken: Record, keep: frozenset[str], theirs: list[Theirs]) -> etree._Element:
    """A CIB without what one apply did to it."""
    base, wanted = as_cib(taken.after), as_cib(taken.before)
    result = deepcopy(cib)
    whole = result.find("configuration")
    for section in dict.fromkeys(str(s.tag) for one in (base, wanted) for s in one.iterfind("configuration/*")):
        if section == "nodes":
            continue
        mine = whole.find(section)
        if mine is None:
            mine = etree.SubElement(whole, section)
        states = [_by_id(one, section) for one in (base, result, wanted)]
        for id_ in dict.fromkeys((*states[2], *states[0])):
            was, is_, to_be = (state.get(id_) for state in states)
            combination = Combination(section, id_, keep=id_ in keep, touching=True)
            becomes = combination.element(was, is_, to_be)
            theirs += combination.theirs
            if is_ is None and becomes is not None:
                mine.append(becomes)
            elif is_ is not None and becomes is None:
                mine.remove(is_)
            elif is_ is not None and becomes is not None:
                becomes.tail = is_.tail
                mine.replace(is_, becomes)
    return result


def _by_id(cib: etree._Element, section: str) -> dict[str, etree._Element]:
    return {e.get("id"): e for e in elements(cib.find(f"configuration/{section}"))}


def _own_notes(cib: etree._Element, oldest: Record) -> None:
    """What hactl owned then. The note of what is applied is written by the push."""
    config = cib.find("configuration/crm_config")
    own = config.find(f"cluster_property_set[@id='{names.MANIFEST_SET}']")
    before = as_cib(oldest.before).find(f"configuration/crm_config/cluster_property_set[@id='{names.MANIFEST_SET}']")
    manifest = None if before is None else before.find(f"nvpair[@name='{names.MANIFEST}']")
    if own is None and manifest is not None:
        own = etree.SubElement(config, "cluster_property_set", id=names.MANIFEST_SET)
    if own is None:
        return
    for pair in [p for p in own if p.get("name") in (names.MANIFEST, names.APPLIED)]:
        own.remove(pair)
    if manifest is not None:
        own.insert(0, deepcopy(manifest))


def _wanted(world: World, nodes: Sequence[str], oldest: Record) -> str:
    """What was wanted before the oldest of the records: as the one before that says, or the one that it undid."""
    parent = oldest.ancestors[0] if oldest.ancestors else ""
    if not parent:
        return ""
    found = past.read(world, [parent], nodes).get(parent)
    return found.wanted if found is not None else ""


def _files(files: dict[str, str]) -> tuple[File, ...]:
    """Domain files that the configuration names again."""
    return tuple(File(path, text.encode(), "domain XML", _vm(path)) for path, text in sorted(files.items()))


def _vm(path: str) -> str:
    """The VM whose domain file it is: /etc/hacluster/domains/VM.CHECKSUM.xml."""
    return path.rpartition("/")[2].rsplit(".", 2)[0]
