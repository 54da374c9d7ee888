"""Every error that Defect Atlas raises on purpose.

EngineError
├── RegistryError        an entry of a file in engine/registry is wrong or unknown
├── DatasetError         a configuration file cannot be read or holds impossible data
├── PredictionError      predictions to import do not fit the dataset
├── FetchError           a file could not be had, or its checksum is wrong
├── WorkerEnvError       a family's Python environment is missing or cannot be built
├── WorkerError          a worker process died or broke its protocol
├── SettingsError        a command-line option has an impossible value
├── MetricError          arrays given to a metric do not fit together
├── ScopeError           a choice of configurations has an unknown or impossible value
└── StoreError           the results store is missing or of another version

A message says what was given, what was expected and the next step, in one sentence where possible.
"""

import difflib
from collections.abc import Iterable


class EngineError(Exception):
    """Base of all errors of this project; the command line prints it without a traceback."""


class RegistryError(EngineError):
    """An entry of a file in engine/registry is wrong or unknown."""


class DatasetError(EngineError):
    """A configuration file cannot be read or holds impossible data."""


class LabelError(DatasetError):
    """The labels of a file cannot be used as they are; its structures can."""


class PredictionError(EngineError):
    """Predictions to import do not fit the dataset."""


class FetchError(EngineError):
    """A file could not be had, or its checksum is wrong."""


class WorkerEnvError(EngineError):
    """A family's Python environment is missing or cannot be built."""


class WorkerError(EngineError):
    """A worker process died or broke its protocol."""


class SettingsError(EngineError):
    """A command-line option has an impossible value."""


class MetricError(EngineError):
    """Arrays given to a metric do not fit together."""


class ScopeError(EngineError):
    """A choice of configurations has an unknown or impossible value."""


class QueryError(EngineError):
    """A statement of a visitor cannot be answered."""


class StoreError(EngineError):
    """The results store is missing or of another version."""


def unknown_id(kind: str, given: str, known: Iterable[str], registry: str) -> RegistryError:
    """Error for an id that a registry does not hold, naming the closest one that it does."""
    known = list(known)
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.0)
    hint = f"; closest: '{close[0]}'" if close else ""
    return RegistryError(f"{kind} '{given}' is not in {registry}{hint}.")
