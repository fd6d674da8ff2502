"""Every exception a user can meet, in one tree.

CurateError                   one clear line: where, what was found, what was expected, hint
├── ConfigError               a recipe or manifest says something we cannot read
├── RawError                  a raw file is missing, truncated, or not what its name says
├── GuardError                more of a source would be lost than its max_skip allows
├── HubError                  the Hub cannot be reached, refuses, or sends what it should not
├── InfeasibleError           the quotas of a recipe cannot be met
├── EngineError               a worker was lost, or Ray is not there
├── WorkspaceError            the workspace is busy, full, read-only, or an artefact in it is damaged
└── TrainError                a model, a checkpoint or a training run cannot go on

SkipRow                       raised by adapters: this row gives no pair, for this reason (never shown to users)
└── MissingColumn             the row lacks a column that the adapter reads

All of them survive a trip through a process pool.
"""


class CurateError(Exception):
    """What went wrong, said in one line, with a hint for what to do next."""

    def __init__(self, where: str, found: str, expected: str = "", hint: str = "") -> None:
        super().__init__(where, found, expected, hint)
        self.where, self.found, self.expected, self.hint = where, found, expected, hint

    def __str__(self) -> str:
        expected = f"; expected {self.expected}" if self.expected else ""
        return f"{self.where}: {self.found}{expected}"


class ConfigError(CurateError):
    """A recipe or manifest says something we cannot read."""


class RawError(CurateError):
    """A raw file is missing, truncated, or not what its name says."""


class GuardError(CurateError):
    """More of a source would be lost than its max_skip allows."""


class HubError(CurateError):
    """The Hub cannot be reached, refuses, or sends what it should not."""


class InfeasibleError(CurateError):
    """The quotas of a recipe cannot be met."""


class EngineError(CurateError):
    """A worker was lost before its task was done, or Ray is not there or not as it must be."""


class WorkspaceError(CurateError):
    """The workspace is busy, full, read-only, or an artefact in it is damaged."""


class TrainError(CurateError):
    """A model, a checkpoint or a training run cannot go on."""


class SkipRow(Exception):  # noqa: N818 - it is a verdict about a row, not an error
    """This row gives no pair, for this reason (a word with underscores, counted and shown)."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class MissingColumn(SkipRow):
    """The row lacks a column that the adapter reads."""

    def __init__(self, column: str) -> None:
        super().__init__(f"missing_column_{column}", column)
