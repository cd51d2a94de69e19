"""Pure: which attributes a client asks for (RFC 7644 §3.9 and §3.10).

Names are compared without case. `name.familyName` means a sub-attribute; a name may be behind its
schema's URN, and the URN alone means all that is under it. What a schema does not have is asked
for in vain: that is no error.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from scim_gateway.attributes import GROUP_SCHEMA, USER_SCHEMA
from scim_gateway.errors import InvalidValueError

_ALWAYS = frozenset({"schemas", "id"})
_CORE = (USER_SCHEMA.lower(), GROUP_SCHEMA.lower())
_MAX_NAMES = 500
_Names = frozenset[str]


class Projection:
    """`attributes` and `excludedAttributes`, as text with commas or as a list of names.

    Raises InvalidValueError if both are given, or too many names.
    """

    def __init__(
        self,
        attributes: str | Iterable[str] | None = None,
        excluded: str | Iterable[str] | None = None,
    ) -> None:
        only, without = _names(attributes), _names(excluded)
        if only and without:
            raise InvalidValueError(
                "attributes and excludedAttributes exclude each other: send one of them"
            )
        self._only = only or None
        self._without = without - _ALWAYS

    @property
    def is_everything(self) -> bool:
        """Whether nothing that is returned by default is left out."""
        return self._only is None and not self._without

    def has(self, name: str) -> bool:
        """Whether the attribute, or the extension of this URN, is returned, at least in part.

        Sub-attributes are asked for as `name.sub`, attributes of an extension as `urn:name`.
        """
        name = name.lower()
        if name in _ALWAYS:
            return True
        if any(one == name or _is_below(name, one) for one in self._without):
            return False
        return self._only is None or any(
            one == name
            or _is_below(name, one)
            or _is_below(one, name)
            or (one in _CORE and not name.startswith("urn:"))
            for one in self._only
        )

    def asks_for(self, name: str) -> bool:
        """Whether `attributes` names it or a part of it: what is returned on request alone."""
        name = name.lower()
        return self._only is not None and any(
            one == name or _is_below(one, name) for one in self._only
        )

    def names(self, name: str) -> bool:
        """Whether `attributes` takes it in, at least in part, with others or by itself."""
        return self._only is not None and self.has(name)

    def of(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        """The resource with what was asked for; `id` and `schemas` always."""
        if self.is_everything:
            return dict(resource)
        return _narrowed(resource, self._only, self._without, _ALWAYS)

    def elements_of(self, name: str, elements: Iterable[Any]) -> list[Any]:
        """Elements of a multi-valued attribute with the sub-attributes that were asked for."""
        return list(self.of({name: list(elements)}).get(name, []))


def _names(given: str | Iterable[str] | None) -> _Names:
    """Lower-case names; those of the core schemas without their URN."""
    if given is None:
        return frozenset()
    names = [one.strip().lower() for one in (given.split(",") if isinstance(given, str) else given)]
    if len(names) > _MAX_NAMES:
        raise InvalidValueError(f"a client may ask for {_MAX_NAMES} attributes by name: name fewer")
    return frozenset(_without_core(name) for name in names if name)


def _without_core(name: str) -> str:
    for urn in _CORE:
        if name.startswith(urn + ":"):
            return name[len(urn) + 1 :]
    return name


def _is_below(name: str, container: str) -> bool:
    """Whether `name` is a sub-attribute of `container`, or under it if that is a URN."""
    # Of a URN, `urn:…:Group` is above `urn:…:Group:members`, and that above `….members.value`.
    return name.startswith((container + ".", container + ":"))


def _narrowed(
    container: Mapping[str, Any], only: _Names | None, without: _Names, always: _Names
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    core = only is not None and always and any(one in _CORE for one in only)
    for name, value in container.items():
        key = name.lower()
        if key in always:
            result[name] = value
            continue
        if key in without:
            continue
        wanted = None
        if only is not None and key not in only and (key.startswith("urn:") or not core):
            wanted = _below(key, only)
            if not wanted:
                continue
        unwanted = _below(key, without)
        kept = value if wanted is None and not unwanted else _within(value, wanted, unwanted)
        if kept not in ({}, []) or kept == value:
            result[name] = kept
    return result


def _below(key: str, names: _Names) -> _Names:
    separator = ":" if key.startswith("urn:") else "."
    return frozenset(name[len(key) + 1 :] for name in names if name.startswith(key + separator)) - {
        ""
    }


def _within(value: Any, only: _Names | None, without: _Names) -> Any:
    if isinstance(value, Mapping):
        return _narrowed(value, only, without, frozenset())
    if isinstance(value, list):
        narrowed = (_within(one, only, without) for one in value)
        return [one for one in narrowed if one != {}]
    return value
