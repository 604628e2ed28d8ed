"""The one tree of errors.

Every message is one sentence that a person can act on: the thing, the value, the remedy. The command line prints it
without a traceback and exits with `exit_code`: 2 when the user can mend it (a file, a flag, a name), 1 when the work
itself failed.
"""

from pathlib import Path

from stillhouse.addresses import without_secrets


class StillhouseError(Exception):
    """Base of all errors that Stillhouse raises on purpose."""

    exit_code = 1

    def __init__(self, *facts: object) -> None:
        """No message tells a password or a key, whatever address it quotes."""
        super().__init__(*(without_secrets(fact) if isinstance(fact, str) else fact for fact in facts))


class UserError(StillhouseError):
    """Something the user gave is wrong and the user can mend it."""

    exit_code = 2


class TaskFileError(UserError):
    """`task.toml` is missing, is not TOML, or holds an unknown or wrong value."""


class DatasetError(UserError):
    """A data file is missing, empty, torn, or a row of it breaks the contract; names file and line."""


class LeakageError(DatasetError):
    """A test row is also in training, exactly or nearly."""


class ModelNameError(UserError):
    """A model name is not one of the forms that DESIGN's "models by name" allows, or what it points to is absent."""


class KeyMissingError(UserError):
    """The environment variable with the provider's key is not set."""


class PriceUnknownError(UserError):
    """No price is known for a model and none was given; we refuse to call that $0."""


class TermsError(UserError):
    """The notice on a provider's terms was not confirmed yet for the tasks in `folder`; nothing was asked or paid."""

    def __init__(self, message: str, teacher: str, folder: Path) -> None:
        super().__init__(message)
        self.teacher, self.folder = teacher, folder


class RunBusyError(UserError):
    """Another live process owns this run or label file."""


class ExistsError(UserError):
    """The output is already there; nothing is overwritten silently."""


class MissingExtraError(UserError):
    """An optional dependency is needed; the message names the extra to install."""


class ArtifactError(UserError):
    """A student directory is corrupted, incomplete, or of an unknown format."""


class TeacherError(StillhouseError):
    """The teacher endpoint refused or failed for a reason that retrying cannot mend (401, 404, ...)."""


class BudgetError(StillhouseError):
    """The next call could exceed the cap; what was paid for so far is stored."""


class StorageError(StillhouseError):
    """The disk or the database would not take what we had to write."""


class CannotTellError(StillhouseError):
    """A number that was asked for cannot be computed from these rows; the message says what is missing."""
