"""Every exception that a user can see, in one tree.

CurateError                   one clear line: where, what was found, what was expected, hint
├── ConfigError               a recipe, manifest or option is not valid
├── RawError                  a raw file is missing, truncated, or not what its name says
├── GuardError                more rows of a source were skipped than its max_skip allows
├── HubError                  the Hub cannot be reached, refuses, or sends wrong data
├── InfeasibleError           the quotas of a recipe cannot be met
├── EngineError               a worker was lost, or Ray is not available
├── WorkspaceError            the workspace is busy, full, read-only, or an artefact in it is damaged
└── TrainError                a model, a checkpoint or a training run cannot be used

SkipRow                       raised by adapters: this row gives no pair, for this reason (never shown to users)
└── MissingColumn             the row lacks a column that the adapter reads

All of them can be pickled, so they pass through a process pool.
"""


class CurateError(Exception):
    """An error in one line: where, what was found, what was expected; and a hint for what to do next."""

    def __init__(self, where: str, found: str, expected: str = "", hint: str = "") -> None:
        super().__init__(where, found, expected, hint)
        self.where, self.found, self.expected, self.hint = where, found, expected, hint

    def __str__(self) -> str:
        expected = f"; expected {self.expected}" if self.expected else ""
        return f"{self.where}: {self.found}{expected}"


class ConfigError(CurateError):
    """A recipe, manifest or option is not valid."""


class RawError(CurateError):
    """A raw file is missing, truncated, or not what its name says."""


class GuardError(CurateError):
    """More rows of a source were skipped than its max_skip allows."""


class HubError(CurateError):
    """The Hub cannot be reached, refuses, or sends wrong data."""


class InfeasibleError(CurateError):
    """The quotas of a recipe cannot be met."""


class EngineError(CurateError):
    """A worker was lost before its task was done, or Ray is not available or not as required."""


class WorkspaceError(CurateError):
    """The workspace is busy, full, read-only, or an artefact in it is damaged."""


class TrainError(CurateError):
    """A model, a checkpoint or a training run cannot be used."""


class SkipRow(Exception):  # noqa: N818 - a result for one row, not an error
    """This row gives no pair, for this reason (a word with underscores, counted and shown)."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class MissingColumn(SkipRow):
    """The row lacks a column that the adapter reads."""

    def __init__(self, column: str) -> None:
        super().__init__(f"missing_column_{column}", column)
