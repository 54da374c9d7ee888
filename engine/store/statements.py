"""SQL with its values in place, for people to repeat."""

import re
from collections.abc import Mapping
from typing import Any


def written_out(sql: str, bindings: Mapping[str, Any]) -> str:
    """A statement on one line with its values in place.

    Example:
        >>> written_out("select a from t where b = $x and list_contains($y, c)", {"x": 1, "y": ["a", "b"]})
        "select a from t where b = 1 and list_contains(['a', 'b'], c)"
    """
    flat = " ".join(re.sub(r"--[^\n]*", "", sql).split())
    return re.sub(r"\$(\w+)", lambda match: _literal(bindings[match[1]]), flat)


def _literal(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if value is None:
        return "null"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
