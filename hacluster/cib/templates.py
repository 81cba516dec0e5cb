"""CIB templates: the nouns (dlm, a file system, a VM …) as XML fragments with typed holes in attribute values.

A hole reads `${name:type}`. `${name:type?}` is optional: without a value the nvpair that contains it is left out, and
so is a set that is empty then. There are no loops and no conditions, and a value can never become markup, because the
fragment is parsed before it is filled. What stands in which relation to what is compile's business, in Python.

An operator's own NAME.xml (in /etc/hacluster/templates.d, by default) is read instead of the one shipped; it keeps the
root element's id, since constraints name it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from lxml import etree

from hacluster.cib import names
from hacluster.problems import Problem, Refused, kind

OVERRIDES = Path("/etc/hacluster/templates.d")

UNREADABLE = kind(
    "HA210",
    "A CIB template cannot be read",
    "A template is one well-formed XML fragment. Without it the noun it stands for cannot be compiled.",
)
UNKNOWN_HOLE = kind(
    "HA211",
    "A CIB template asks for something that its noun does not have",
    "A hole names a value that compile gives to this template, with one of the known types; a name that nobody fills "
    "would end up as literal text in the cluster's configuration.",
)
BAD_VALUE = kind(
    "HA212",
    "A value does not fit its place in a CIB template",
    "Holes are typed so that a wrong value is found here, by name, and not by the agent in the first outage.",
)
OTHER_ROOT = kind(
    "HA213",
    "An operator's template changes what its noun is",
    "Orders and colocations name the root element of a template by its id. A template of another element or id would "
    "leave them pointing at nothing.",
)
UNKNOWN_TEMPLATE = kind("HA214", "There is no such CIB template", "Templates are known by the name of their file.")

_HOLE = re.compile(r"\$\{([^}]*)\}")
_SPEC = re.compile(r"([a-z][a-z0-9_]*):([a-z]+)(\??)")

Value = str | int | None


def _pattern(expression: str) -> Callable[[str], bool]:
    compiled = re.compile(expression)
    return lambda text: compiled.fullmatch(text) is not None


# Printable text without control characters: what an XML attribute keeps unchanged.
TYPES: Mapping[str, Callable[[str], bool]] = {
    "id": names.is_id,
    "name": _pattern(r"[A-Za-z0-9][A-Za-z0-9._+-]*"),
    "path": lambda text: text.startswith("/") and text.isprintable() and ".." not in text.split("/"),
    "options": _pattern(r"[^\s,]+(,[^\s,]+)*"),
    "text": lambda text: text.isprintable() and text != "",
    "integer": _pattern(r"-?[0-9]+"),
    "seconds": _pattern(r"[0-9]+"),
    "score": _pattern(r"-?([0-9]+|INFINITY)"),
    "hex": _pattern(r"[0-9a-f]+"),
    "uuid": _pattern(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}


@dataclass(frozen=True, slots=True)
class Template:
    """One template: its name, the file it came from, and its text."""

    name: str
    source: Path
    text: bytes

    @property
    def purpose(self) -> str:
        """The first sentence of the comment on top: what the template is for."""
        comment = re.search(rb"<!--(.*?)-->", self.text, re.DOTALL)
        words = " ".join(comment.group(1).decode(errors="replace").split()) if comment else ""
        return re.split(r"(?<=\.)\s", words, maxsplit=1)[0]


def shipped_directory() -> Path:
    """Where the shipped templates lie: beside the package in a checkout, inside it when installed from a wheel."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "data" / "cib_templates"
    return installed if installed.is_dir() else package.parent / "cib_templates"


class Library:
    """The templates of a list of directories; of two with one name, the one in the earlier directory counts.

    Reads files and nothing else. Raises Refused: HA210 for a file that is not XML, HA214 for an unknown name.
    """

    def __init__(self, directories: Sequence[Path] | None = None) -> None:
        self.directories = tuple(directories) if directories is not None else (OVERRIDES, shipped_directory())
        self._parsed: dict[str, tuple[Template, etree._Element]] = {}

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted({path.stem for directory in self.directories for path in directory.glob("*.xml")}))

    def get(self, name: str) -> Template:
        """The template of that name."""
        return self._load(name)[0]

    def render(self, name: str, root_id: str, /, **values: Value) -> etree._Element:
        """The template as an element, each hole filled from `values`; its root element must have the id `root_id`.

        None leaves an optional hole's nvpair out. Values that the template does not use are ignored: an operator may
        write a constant in their place. Raises Refused with all findings (HA211, HA212, HA213) at once.
        """
        template, parsed = self._load(name)
        root = deepcopy(parsed)
        problems: list[Problem] = []
        known: set[tuple[str, str]] = set()
        for element in list(root.iter(etree.Element)):
            drop = False
            for attribute, raw in element.items():
                if "${" not in raw:
                    continue
                filled, wrong, absent = _fill(raw, values, known)
                problems += [w(f"{template.source}:{element.sourceline}: {element.tag}/@{attribute}") for w in wrong]
                drop = drop or absent
                element.set(attribute, filled)
            if drop and element is not root:
                element.getparent().remove(element)
        if problems:
            raise Refused(problems)
        for nvset in root.xpath("//*[self::instance_attributes or self::meta_attributes or self::utilization][not(*)]"):
            if nvset is not root:
                nvset.getparent().remove(nvset)
        if root.get("id") not in (root_id, None):
            raise Refused(
                OTHER_ROOT(
                    f"the template {name} makes a {root.tag} with the id {root.get('id')}, not {root_id}",
                    where=str(template.source),
                    remedy=f"compare it with `hactl template show {name} --shipped`",
                )
            )
        return root

    def _load(self, name: str) -> tuple[Template, etree._Element]:
        if name not in self._parsed:
            path = next((p for d in self.directories if (p := d / f"{name}.xml").is_file()), None)
            if path is None:
                raise Refused(
                    UNKNOWN_TEMPLATE(
                        f"no template is called {name}",
                        where=name,
                        remedy="hactl template list",
                        looked_in=", ".join(map(str, self.directories)),
                    )
                )
            try:
                template = Template(name, path, path.read_bytes())
                root = etree.fromstring(template.text, _parser())
            except (OSError, etree.XMLSyntaxError) as error:
                line = f":{error.lineno}" if isinstance(error, etree.XMLSyntaxError) else ""
                found = UNREADABLE(str(error), where=f"{path}{line}", remedy=f"hactl template show {name} --shipped")
                raise Refused(found) from error
            self._parsed[name] = (template, root)
        return self._parsed[name]


def _parser() -> etree.XMLParser:
    """Blank text goes, so that the output can be indented; nothing is fetched and no entity is expanded."""
    return etree.XMLParser(remove_blank_text=True, remove_comments=True, resolve_entities=False, no_network=True)


Wrong = Callable[[str], Problem]
"""A Problem that lacks only the place: to be told the place costs time, and is needed only when something is wrong."""


@dataclass(frozen=True, slots=True)
class _Hole:
    """One hole. `type` is empty where the text in it is no hole's."""

    text: str
    name: str = ""
    type: str = ""
    optional: bool = False


@cache
def _pieces(raw: str) -> tuple[str | _Hole, ...]:
    """An attribute value cut at its holes. A cluster of a thousand VMs fills the same few of them a thousand times."""
    made: list[str | _Hole] = []
    for i, part in enumerate(_HOLE.split(raw)):
        if i % 2 == 0:
            made.append(part)
            continue
        hole = _SPEC.fullmatch(part)
        text = f"${{{part}}}"
        made.append(_Hole(text) if hole is None else _Hole(text, hole[1], hole[2], bool(hole[3])))
    return tuple(made)


def _fill(raw: str, values: Mapping[str, Value], known: set[tuple[str, str]]) -> tuple[str, list[Wrong], bool]:
    """An attribute value with its holes filled, what is wrong with it, and whether an optional value is absent.

    `known` has the holes (name and type) whose value has been looked at already, and is added to.
    """
    filled = ""
    wrong: list[Wrong] = []
    absent = False
    for piece in _pieces(raw):
        if isinstance(piece, str):
            filled += piece
        elif piece.type not in TYPES or piece.name not in values:
            wrong.append(partial(_unknown_hole, piece, values))
        elif (value := values[piece.name]) is None:
            if piece.optional:
                absent = True
            else:
                wrong.append(partial(_bad_value, f"{piece.name} is needed here and there is none"))
        else:
            if (piece.name, piece.type) not in known:
                if not TYPES[piece.type](str(value)):
                    wrong.append(partial(_bad_value, f"{piece.name} is {str(value)!r}, which is not a {piece.type}"))
                    continue
                known.add((piece.name, piece.type))
            filled += f"{value}s" if piece.type == "seconds" else str(value)
    return filled, wrong, absent


def _unknown_hole(hole: _Hole, values: Mapping[str, Value], where: str) -> Problem:
    return UNKNOWN_HOLE(
        f"{hole.text} cannot be filled",
        where=where,
        remedy="use one of these values with one of these types",
        values=", ".join(sorted(values)),
        types=", ".join(sorted(TYPES)),
    )


def _bad_value(message: str, where: str) -> Problem:
    return BAD_VALUE(message, where=where)
