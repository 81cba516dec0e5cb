"""A change as the pcs commands that an admin would have typed. Pure.

They are for reading, and for whoever wants to go step by step: run one after another they lead to the same
configuration, each as a push of its own. What pcs 0.11 has no words for (constraints on a tag, the id of a fencing
level) is said with cibadmin. hactl's own notes are left out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from lxml import etree

from hacluster.cib.difference import elements, properties, same
from hacluster.cib.names import APPLIED, MANIFEST
from hacluster.plan.changes import HIDDEN, shown

_SECTIONS = ("resources", "constraints", "fencing-topology", "tags", "rsc_defaults", "op_defaults", "acls", "alerts")
_SETS = ("instance_attributes", "meta_attributes", "utilization")

Words = tuple[str, ...]


def commands(live: etree._Element, desired: etree._Element) -> tuple[str, ...]:
    """What leads from one CIB's configuration to the other's, a shell command each, in the order to be typed.

    What refers to a thing goes before it does, and comes after it. A secret that the CIB holds in plain text is hidden.
    """
    return tuple(shlex.join(words) for words in _Translation(live, desired).words())


class _Unsayable(Exception):
    """pcs has no words for this."""


class _Translation:
    def __init__(self, live: etree._Element, desired: etree._Element) -> None:
        self.old, self.new = live, desired
        # What pcs takes for a resource: a tag, or a template, is none to it.
        self.resources = {
            e.get("id")
            for cib in (live, desired)
            for e in cib.iterfind("configuration/resources//*")
            if e.tag in ("primitive", "clone", "group", "bundle", "master")
        }

    def words(self) -> Iterator[Words]:
        changed = {name: self._changed(name) for name in _SECTIONS}
        for name in ("constraints", "fencing-topology"):
            yield from (self._removal(name, old) for old, _ in changed[name] if old is not None)
        tags = changed["tags"]
        yield from (words for old, new in tags if old is not None for words in self._tag_less(old, new))
        yield from (
            self._removal("resources", old) for old, new in changed["resources"] if old is not None and new is None
        )
        yield from self._properties()
        yield from (
            words
            for old, new in self._changed("nodes")
            if old is not None and new is not None
            for words in _room(old, new)
        )
        for name in ("rsc_defaults", "op_defaults"):
            for old, new in changed[name]:
                yield from self._defaults(name, old, new)
        for old, new in changed["resources"]:
            if new is not None:
                yield from self._resource(old, new)
        yield from (words for old, new in tags if new is not None for words in self._tag_more(old, new))
        for _, new in changed["constraints"]:
            if new is not None:
                yield self._constraint(new)
        for name in ("fencing-topology", "acls", "alerts"):
            for old, new in changed[name]:
                if name != "fencing-topology" and old is not None:
                    yield self._removal(name, old)
                if new is not None:
                    yield _create(name, new)

    def _changed(self, section: str) -> list[tuple[etree._Element | None, etree._Element | None]]:
        before, after = (
            {e.get("id"): e for e in elements(cib.find(f"configuration/{section}"))} for cib in (self.old, self.new)
        )
        pairs = [(before.get(id_), after.get(id_)) for id_ in dict.fromkeys((*before, *after))]
        return [(old, new) for old, new in pairs if old is None or new is None or not same(old, new)]

    def _properties(self) -> Iterator[Words]:
        before, after = properties(self.old), properties(self.new)
        for name in dict.fromkeys((*before, *after)):
            if name in (MANIFEST, APPLIED) or before.get(name) == after.get(name):
                continue
            if name in after:
                # pcs knows Pacemaker's own properties, and takes ours only so.
                ours = ("--force",) if name.startswith("hacluster-") else ()
                yield ("pcs", "property", "set", f"{name}={shown('crm_config', name, 'value', after[name])}", *ours)
            else:
                yield ("pcs", "property", "unset", name)

    # -- resources

    def _removal(self, section: str, old: etree._Element) -> Words:
        id_ = str(old.get("id"))
        if section == "resources" and old.tag in ("primitive", "clone", "group"):
            return ("pcs", "stonith" if old.get("class") == "stonith" else "resource", "delete", id_)
        if section == "constraints":
            return ("pcs", "constraint", "delete", id_)
        return ("cibadmin", "--delete", "--xpath", f"/cib/configuration/{section}/*[@id='{id_}']")

    def _resource(self, old: etree._Element | None, new: etree._Element) -> Iterator[Words]:
        try:
            # All of it first: half a translation would be a third configuration.
            told = [_creation(new)] if old is None else list(_update(old, new))
        except _Unsayable:
            told = [_create("resources", new)] if old is None else [_replace("resources", new)]
        yield from told

    # -- tags and defaults

    def _tag_less(self, old: etree._Element, new: etree._Element | None) -> Iterator[Words]:
        if new is None:
            yield ("pcs", "tag", "delete", str(old.get("id")))
        elif gone := [m for m in _members(old) if m not in _members(new)]:
            # A tag is never empty: what joins it is added before the last one goes, unless that is still to be made.
            stays = [m for m in _members(old) if m in _members(new)]
            if stays:
                yield ("pcs", "tag", "update", str(old.get("id")), "remove", *gone)
            else:
                yield self._removal("tags", old)

    def _tag_more(self, old: etree._Element | None, new: etree._Element) -> Iterator[Words]:
        before = [] if old is None else _members(old)
        if not set(before) & set(_members(new)):
            yield ("pcs", "tag", "create", str(new.get("id")), *_members(new))
        elif more := [m for m in _members(new) if m not in before]:
            yield ("pcs", "tag", "update", str(new.get("id")), "add", *more)

    def _defaults(self, section: str, old: etree._Element | None, new: etree._Element | None) -> Iterator[Words]:
        words = ("pcs", "resource", *(("op",) if section == "op_defaults" else ()), "defaults", "set")
        if new is None:
            if old is not None:
                yield (*words, "delete", str(old.get("id")))
            return
        try:
            told = _defaults_set(words, old, new)
        except _Unsayable:
            told = (_create(section, new) if old is None else _replace(section, new),)
        yield from told

    # -- constraints

    def _constraint(self, new: etree._Element) -> Words:
        try:
            return self._said(new)
        except _Unsayable:
            return _create("constraints", new)

    def _said(self, new: etree._Element) -> Words:
        if elements(new):
            return self._sets(new)
        told = dict(new.attrib)
        id_, kind = told.pop("id"), str(new.tag)
        named = [told[key] for key in ("rsc", "with-rsc", "first", "then") if key in told]
        if kind not in _CONSTRAINTS or not named or any(name not in self.resources for name in named):
            raise _Unsayable
        if kind == "rsc_location":
            words = (told.pop("rsc"), told.pop("node", ""), told.pop("score", ""))
            discovery = [f"resource-discovery={told.pop('resource-discovery')}"] if "resource-discovery" in told else []
            if told or not all(words):
                raise _Unsayable
            return ("pcs", "constraint", "location", "add", id_, *words, *discovery)
        if kind == "rsc_colocation":
            roles = [[told.pop(name)] if name in told else [] for name in ("rsc-role", "with-rsc-role")]
            pair = (*roles[0], told.pop("rsc"), "with", *roles[1], told.pop("with-rsc"))
            if "score" not in told:
                raise _Unsayable
            words = ("pcs", "constraint", "colocation", "add", *pair, told.pop("score"))
        else:
            actions = [[told.pop(name)] if name in told else [] for name in ("first-action", "then-action")]
            pair = (*actions[0], told.pop("first"), "then", *actions[1], told.pop("then"))
            words = ("pcs", "constraint", "order", *pair)
        if set(told) - _CONSTRAINTS[kind]:
            raise _Unsayable
        return (*words, *(f"{key}={value}" for key, value in told.items()), f"id={id_}")

    def _sets(self, new: etree._Element) -> Words:
        """A constraint of resource sets."""
        kind, told = str(new.tag), dict(new.attrib)
        id_ = told.pop("id")
        if kind not in ("rsc_order", "rsc_colocation") or set(told) - _SET_OPTIONS[kind]:
            raise _Unsayable
        words: Words = ("pcs", "constraint", "order" if kind == "rsc_order" else "colocation")
        for each in elements(new):
            members = [str(ref.get("id")) for ref in elements(each)]
            options = {key: value for key, value in each.attrib.items() if key != "id"}
            known = set(options) <= {"sequential", "require-all", "action", "role"}
            if each.tag != "resource_set" or not known or any(name not in self.resources for name in members):
                raise _Unsayable
            words = (*words, "set", *members, *(f"{key}={value}" for key, value in options.items()))
        return (*words, "setoptions", f"id={id_}", *(f"{key}={value}" for key, value in told.items()))


# The options that pcs takes for each constraint, beside what it has words of its own for.
_CONSTRAINTS = {
    "rsc_location": frozenset[str](),
    "rsc_colocation": frozenset({"node-attribute"}),
    "rsc_order": frozenset({"kind", "symmetrical", "require-all"}),
}
_SET_OPTIONS = {"rsc_order": frozenset({"kind", "symmetrical"}), "rsc_colocation": frozenset({"score"})}


def _creation(new: etree._Element) -> Words:
    """The one command that makes a resource. Raises _Unsayable."""
    primitive, clone = new, None
    if new.tag == "clone":
        inner = [e for e in elements(new) if e.tag != "meta_attributes"]
        if len(inner) != 1 or inner[0].tag != "primitive" or set(new.attrib) != {"id"}:
            raise _Unsayable
        primitive, clone = inner[0], new
    if primitive.tag != "primitive" or set(primitive.attrib) - {"id", "class", "provider", "type"}:
        raise _Unsayable
    sets = {name: _one_set(primitive, name) for name in _SETS}
    operations = elements(primitive.find("operations"))
    # pcs adds a monitor where none is named, and its clones' meta attributes are not those of a primitive.
    if sets["utilization"] or not any(op.get("name") == "monitor" for op in operations) or not _plain(primitive):
        raise _Unsayable
    agent = ":".join(filter(None, (primitive.get("class"), primitive.get("provider"), primitive.get("type"))))
    stonith = primitive.get("class") == "stonith"
    words: Words = ("pcs", "stonith", "create", str(primitive.get("id")), str(primitive.get("type")))
    if not stonith:
        words = ("pcs", "resource", "create", str(primitive.get("id")), agent)
    words = (
        *words,
        *_settings({}, sets["instance_attributes"]),
        "op",
        *(w for op in operations for w in _operation(op)),
    )
    if sets["meta_attributes"]:
        words = (*words, "meta", *_settings({}, sets["meta_attributes"]))
    if clone is not None:
        words = (*words, "clone", str(clone.get("id")), *_settings({}, _one_set(clone, "meta_attributes")))
    return words if stonith else (*words, "--no-default-ops")


def _update(old: etree._Element, new: etree._Element) -> Iterator[Words]:
    """The commands that change a resource. Raises _Unsayable."""
    if old.tag != new.tag or dict(old.attrib) != dict(new.attrib) or not (_plain(old) and _plain(new)):
        raise _Unsayable
    if new.tag == "clone":
        one, two = (e.find("primitive") for e in (old, new))
        if one is None or two is None:
            raise _Unsayable
        if meta := _settings(_one_set(old, "meta_attributes"), _one_set(new, "meta_attributes")):
            yield ("pcs", "resource", "meta", str(new.get("id")), *meta)
        if not same(one, two):
            yield from _update(one, two)
        return
    if new.tag != "primitive":
        raise _Unsayable
    id_ = str(new.get("id"))
    noun = "stonith" if new.get("class") == "stonith" else "resource"
    changes = {name: _settings(_one_set(old, name), _one_set(new, name)) for name in _SETS}
    before, after = ({_interval(op): op for op in elements(e.find("operations"))} for e in (old, new))
    several = {name for ops in (before, after) for name, _ in ops if sum(key[0] == name for key in ops) > 1}
    if several:
        raise _Unsayable
    by_name = {name: op for (name, _), op in before.items()}
    changed = [op for (name, _), op in after.items() if name not in by_name or not same(by_name[name], op)]
    for (name, _), op in before.items():
        if all(name != kept for kept, _ in after):
            yield ("pcs", noun, "op", "delete", str(op.get("id")))
    operations = tuple(word for op in changed for word in _operation(op))
    meta = changes["meta_attributes"]
    words = (
        *changes["instance_attributes"],
        *(("op", *operations) if operations else ()),
        *(("meta", *meta) if meta else ()),
    )
    if words:
        yield ("pcs", noun, "update", id_, *words)
    if changes["utilization"]:
        yield ("pcs", "resource", "utilization", id_, *changes["utilization"])


def _defaults_set(words: Words, old: etree._Element | None, new: etree._Element) -> tuple[Words, ...]:
    """The commands that make or change a set of defaults. Raises _Unsayable."""
    if set(new.attrib) - {"id", "score"} or new.tag != "meta_attributes":
        raise _Unsayable
    id_, wanted = str(new.get("id")), _pairs(new)
    if old is not None and dict(old.attrib) == dict(new.attrib):
        return ((*words, "update", id_, "meta", *_settings(_pairs(old), wanted)),)
    score = (f"score={new.get('score')}",) if new.get("score") else ()
    created = (*words, "create", f"id={id_}", *score, "meta", *_settings({}, wanted))
    return (created,) if old is None else ((*words, "delete", id_), created)


def _plain(element: etree._Element) -> bool:
    """Whether it has nothing but sets of one kind each, and operations without parameters of their own."""
    children = [str(e.tag) for e in elements(element)]
    known = set(children) <= {*_SETS, "operations", "primitive"} and len(set(children)) == len(children)
    return known and not any(elements(op) for op in element.iter("op"))


def _one_set(element: etree._Element, name: str) -> dict[str, str]:
    found = element.find(name)
    if found is not None and set(found.attrib) != {"id"}:
        raise _Unsayable
    return {} if found is None else _pairs(found)


def _pairs(nvset: etree._Element) -> dict[str, str]:
    """A set's names and values. Raises _Unsayable for rules and references, and for an empty value, which to pcs is
    the word for removing it."""
    found: dict[str, str] = {}
    for pair in elements(nvset):
        value = pair.get("value")
        if pair.tag != "nvpair" or pair.get("name") is None or not value:
            raise _Unsayable
        found[str(pair.get("name"))] = value
    return found


def _settings(old: dict[str, str], new: dict[str, str]) -> Words:
    changed = [f"{name}={shown('', '', name, value)}" for name, value in new.items() if old.get(name) != value]
    return (*changed, *(f"{name}=" for name in old if name not in new))


def _interval(op: etree._Element) -> tuple[str, str]:
    return str(op.get("name")), str(op.get("interval", "0s"))


def _operation(op: etree._Element) -> Words:
    """An operation with all of its options: those that are not named, pcs takes away."""
    options = [f"{key}={value}" for key, value in op.attrib.items() if key not in ("id", "name")]
    return (str(op.get("name")), *options)


def _members(tag: etree._Element) -> list[str]:
    return [str(ref.get("id")) for ref in elements(tag)]


def _room(old: etree._Element, new: etree._Element) -> Iterator[Words]:
    """What a node has for VMs. Nothing else of a node is a configuration's to change."""
    before, after = (_pairs(e.find("utilization")) if e.find("utilization") is not None else {} for e in (old, new))
    if changed := _settings(before, after):
        yield ("pcs", "node", "utilization", str(new.get("uname")), *changed)


def _create(section: str, new: etree._Element) -> Words:
    # --create would need the section to be there.
    return ("cibadmin", "--modify", "--allow-create", "--scope", section, "--xml-text", _text(new))


def _replace(section: str, new: etree._Element) -> Words:
    path = f"/cib/configuration/{section}/*[@id='{new.get('id')}']"
    return ("cibadmin", "--replace", "--xpath", path, "--xml-text", _text(new))


def _text(element: etree._Element) -> str:
    """An element on one line, its secrets hidden."""
    text = etree.tostring(element, encoding="unicode", with_tail=False)
    copy = etree.fromstring(text, etree.XMLParser(remove_blank_text=True, remove_comments=True))
    for pair in copy.iter("nvpair"):
        if shown("", "", pair.get("name", ""), pair.get("value", "")) == HIDDEN:
            pair.set("value", HIDDEN)
    found: str = etree.tostring(copy, encoding="unicode")
    return found
