"""Bounded YAML: one document of plain mappings, lists, text, whole numbers, true and false.

No aliases and no merge keys (a few hundred bytes of them describe gigabytes), no key twice (the
second would silently win), no tags, and bounds on size and depth before anything is built. Every
value keeps its line, so that a fault can be shown where it is.
"""

from dataclasses import dataclass, field

import yaml

from encryption_service.policy.errors import Fault, Location, PolicyError

MAX_BYTES = 256 * 1024
_MAX_DEPTH = 8
_MAX_VALUES = 20_000
_TAG = "tag:yaml.org,2002:"
_QUOTES = "put text in quotes if it begins with one of * & ! % @ ` [ { > | # -"


@dataclass(slots=True)
class YamlDocument:
    """What the YAML says, and on which line each of its values begins."""

    value: object = None
    lines: dict[Location, int] = field(default_factory=dict)

    def line_of(self, location: Location) -> int | None:
        """Of the value, or of the nearest one around it that is there."""
        while location not in self.lines and location:
            location = location[:-1]
        return self.lines.get(location)


def read_yaml(data: bytes) -> YamlDocument:
    """Raises PolicyError."""
    if len(data) > MAX_BYTES:
        raise PolicyError.of(f"the document has more than {MAX_BYTES // 1024} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PolicyError.of("the document is not UTF-8 text: save it in that encoding") from None
    try:
        root = _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error) from None
    except yaml.YAMLError:
        raise PolicyError.of("the document has characters that YAML does not allow") from None
    if root is None:
        raise PolicyError.of("the document is empty: write at least `version: 1`")
    document = YamlDocument()
    document.value = _Reading(document).value(root, ())
    return document


class _Composer(yaml.SafeLoader):
    """Builds nodes, within bounds."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._count = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call] # the stub has no types
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            raise PolicyError.of("aliases (*name) are not allowed: write it out", line)
        self._depth += 1
        self._count += 1
        if self._depth > _MAX_DEPTH:
            raise PolicyError.of(f"nested more than {_MAX_DEPTH} levels deep", line)
        if self._count > _MAX_VALUES:
            raise PolicyError.of(f"more than {_MAX_VALUES} values: use patterns", line)
        node = super().compose_node(parent, index)  # type: ignore[arg-type] # whatever was given
        self._depth -= 1
        return node


class _Reading:
    """Turns nodes into plain values and notes their lines."""

    def __init__(self, document: YamlDocument) -> None:
        self._document = document

    def value(self, node: yaml.Node, location: Location) -> object:
        self._document.lines[location] = node.start_mark.line + 1
        match node:
            case yaml.MappingNode():
                return self._mapping(node, location)
            case yaml.SequenceNode():
                return [self.value(each, (*location, i)) for i, each in enumerate(node.value)]
            case _:
                return _scalar(node, location)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != _TAG + "str":
                raise PolicyError(Fault(location, "the name of a field is plain text", line))
            name = str(key.value)
            if name in found:
                raise PolicyError(
                    Fault((*location, name), "is there twice: keep one of them", line)
                )
            found[name] = self.value(value, (*location, name))
            # Of a field, its own line is meant, also where its value begins on the next one.
            self._document.lines[(*location, name)] = line
        return found


def _scalar(node: yaml.Node, location: Location) -> object:
    text = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return text.lower() in {"true", "yes", "on"}
        case "int" if text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 20:
            return int(text)
        case "str" | "timestamp":
            return text
        case "int" | "float":
            remedy = "is no plain whole number: write decimal digits, or put text in quotes"
        case _:
            remedy = "has a YAML tag: write a plain value"
    raise PolicyError(Fault(location, remedy, node.start_mark.line + 1))


def _not_yaml(error: yaml.MarkedYAMLError) -> PolicyError:
    """Without the excerpt that the library adds."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else None
    return PolicyError.of(f"not well-formed YAML ({error.problem}); {_QUOTES}", line)
