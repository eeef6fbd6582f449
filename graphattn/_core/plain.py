"""JSON and YAML from files that anybody may have written, as plain values of bounded size."""

from __future__ import annotations

import json
from typing import Any

import yaml

__all__ = ["check_plain", "dump_yaml", "parse_json", "parse_yaml"]

_DEEPEST = 20
_LONGEST_TEXT = 10_000
_SCALARS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null"))


def parse_json(content: bytes) -> Any:
    """Read JSON.

    Args:
        content: The text; its size bounds that of the values.

    Returns:
        Values that pass :func:`check_plain`.

    Raises:
        TypeError: See :func:`check_plain`.
        ValueError: If it is no JSON, or nested too deeply.
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError(f"lists and mappings must be nested at most {_DEEPEST} deep") from None
    check_plain(value)
    return value


def parse_yaml(content: bytes) -> Any:
    """Read YAML without anchors and aliases, which can make gigabytes of a few lines.

    Args:
        content: The text; its size bounds that of the values.

    Returns:
        Values that pass :func:`check_plain`; ``None`` of an empty text.

    Raises:
        TypeError: If a key is no string, or a value neither text, number, truth value, null, list
            nor mapping; the text names it.
        ValueError: If it is no YAML, uses aliases, is nested too deeply or repeats a key.
    """
    try:
        loader = _Loader(content)
        node = loader.get_single_node()
        return None if node is None else _value(loader, node, "")
    except yaml.YAMLError as error:
        raise ValueError(f"no valid YAML: {' '.join(str(error).split())}") from error


def dump_yaml(value: Any) -> bytes:
    """Write what :func:`parse_yaml` reads back.

    Args:
        value: Plain values; mappings keep their order.

    Raises:
        TypeError: See :func:`check_plain`.
        ValueError: See :func:`check_plain`.
    """
    check_plain(value)
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return str(text).encode()


def check_plain(value: object, where: str = "", *, depth: int = 0) -> None:
    """Reject what is not made of text, numbers, truth values, ``None``, lists and mappings.

    Args:
        value: The value.
        where: Its keys from the outermost on, with dots between, for errors.
        depth: How deeply it is nested.

    Raises:
        TypeError: If there is anything else, or a key that is no string; the text says where.
        ValueError: If a text is longer than 10,000 characters, a whole number needs more than 64
            bits, or lists and mappings are nested more than 20 deep.
    """
    _check_depth(where, depth)
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise TypeError(f"keys{_in(where)} must be strings, got {key!r}")
            _check_scalar(key, where)
            check_plain(each, _inside(where, key), depth=depth + 1)
    elif isinstance(value, list):
        for each in value:
            check_plain(each, where, depth=depth + 1)
    else:
        _check_scalar(value, where)


class _Dumper(yaml.SafeDumper):
    """Spells a list out where it stands, even if it stands in two places."""

    def ignore_aliases(self, data: object) -> bool:
        """Always."""
        return True


class _Loader(yaml.SafeLoader):
    """Composes nodes, but no aliases and no towers."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._keys: list[str] = []

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node, with all that is in it."""
        named = isinstance(parent, yaml.MappingNode) and isinstance(index, yaml.ScalarNode)
        self._keys.append(str(index.value) if named else "")
        where = ""
        for key in filter(None, self._keys):
            where = _inside(where, key)
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            line = event.start_mark.line + 1
            raise ValueError(f"aliases{_in(where)} must not be used, got one in line {line}")
        _check_depth(where, len(self._keys) - 1)
        node = super().compose_node(parent, index)
        self._keys.pop()
        return node


def _value(loader: _Loader, node: yaml.Node, where: str) -> Any:
    """Plain value of a node."""
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(key_node, where)
            if key in values:
                raise ValueError(f"key {key!r}{_in(where)} must be given once, got it twice")
            values[key] = _value(loader, value_node, _inside(where, key))
        return values
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, each, where) for each in node.value]
    if node.tag not in _SCALARS:
        raise TypeError(f"a value{_in(where)} must be plain, got {node.tag} {node.value[:100]!r}")
    try:
        value = loader.construct_object(node)
    except ValueError as error:
        raise ValueError(f"a value{_in(where)} can't be read: {error}") from error
    _check_scalar(value, where)
    return value


def _key(node: yaml.Node, where: str) -> str:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.ScalarNode):
        raise TypeError(f"keys{_in(where)} must be strings, got {node.tag} in line {line}")
    if node.tag != _SCALARS[0]:
        raise TypeError(
            f"keys{_in(where)} must be strings, got {node.value[:100]!r} in line {line}"
        )
    _check_scalar(node.value, where)
    return str(node.value)


def _check_depth(where: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(
            f"lists and mappings must be nested at most {_DEEPEST} deep, got more{_in(where)}"
        )


def _check_scalar(value: object, where: str) -> None:
    if type(value) is str:
        if len(value) > _LONGEST_TEXT:
            raise ValueError(
                f"text{_in(where)} must have at most {_LONGEST_TEXT} characters, got {len(value)}"
            )
    elif type(value) is int:
        if value.bit_length() > 64:
            raise ValueError(f"whole numbers{_in(where)} must fit 64 bits, got one that doesn't")
    elif type(value) not in (bool, float, type(None)):
        raise TypeError(f"a value{_in(where)} must be plain, got {value!r}")


def _inside(where: str, key: str) -> str:
    return f"{where}.{key}"[:200] if where else key[:200]


def _in(where: str) -> str:
    return f" of {where!r}" if where else ""
