"""Log lines for machines: one JSON object a line where `DEFECT_ATLAS_LOGS=json` asks for it, else text as it was."""

import json
import logging
import os
from datetime import UTC, datetime

SETTING = "DEFECT_ATLAS_LOGS"


def is_structured() -> bool:
    """Whether the user asked for JSON lines."""
    return os.environ.get(SETTING) == "json"


def line(event: str, *, level: str = "info", at: float | None = None, **fields: object) -> str:
    """One line of the log: time in UTC, level, what happened, and its numbers.

    Args:
        event: What happened, in words.
        level: info, warning or error.
        at: When, in seconds since 1970; now where not given.
        fields: What else is known of it; values that are no JSON become text.

    Example:
        >>> line("started", at=0.0, port=8501)
        '{"time": "1970-01-01T00:00:00.000+00:00", "level": "info", "event": "started", "port": 8501}'
    """
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    found = {"time": moment.isoformat(timespec="milliseconds"), "level": level, "event": event}
    return json.dumps(found | fields, ensure_ascii=False, default=str)


class JsonLines(logging.Formatter):
    """Writes records of Python's logging as such lines, a traceback in the field of that name."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record; `extra={"fields": {...}}` becomes fields."""
        fields: dict[str, object] = {"logger": record.name, **getattr(record, "fields", {})}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return line(record.getMessage(), level=record.levelname.lower(), at=record.created, **fields)
