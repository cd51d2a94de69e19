"""The steps at which a process can be stopped, read from the code that names them.

A step that somebody adds is stopped at by itself, without an entry in any list.
"""

import ast
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def steps_in(package: str) -> list[str]:
    """Every text that `on_step` is called with in a package, sorted."""
    found: set[str] = set()
    for path in sorted((_ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name(node.func).lstrip("_") == "on_step":
                found |= {
                    each.value
                    for argument in node.args
                    for each in ast.walk(argument)
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
    return sorted(found)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
