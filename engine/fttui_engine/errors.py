"""Errors that a user is meant to read, and the exit codes that go with them."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every ``fttui`` command; a documented, stable interface."""

    DONE = 0
    FAILED = 1
    WRONG_REQUEST = 2
    NO_SUCH_RUN = 3
    RUN_FAILED = 4
    INTERRUPTED = 130


class FttuiError(Exception):
    """Something that a user can understand and act on: ``message`` says what and where, ``hint`` what to do."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class WrongRequestError(FttuiError):
    """What was asked for cannot be done as asked; nothing was changed."""

    exit_code = ExitCode.WRONG_REQUEST


class NoSuchRunError(FttuiError):
    """No run goes by the given name."""

    exit_code = ExitCode.NO_SUCH_RUN
