"""What the server tells on stderr: where something went wrong, and nothing of what was sent.

The messages of errors quote what they were about: a photo as text, a name, an address.
"""

import logging
import sys
import threading
import traceback


def where(error: BaseException) -> str:
    """The kinds of an error and of its causes, each with the places that it went through."""
    lines = []
    cause: BaseException | None = error
    while cause is not None:
        lines.append(f"  {type(cause).__module__}.{type(cause).__qualname__}")
        for frame in traceback.extract_tb(cause.__traceback__):
            lines.append(f"    {frame.filename}:{frame.lineno} in {frame.name}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n".join(lines)


class Discreet(logging.Formatter):
    """Says which part reports, and where; the text only of those that never quote."""

    quoting_nothing = ("uvicorn", "maskexplain")

    def format(self, record: logging.LogRecord) -> str:
        """The record in words."""
        said = f"{record.levelname.lower()}: {record.name}"
        if record.name.startswith(self.quoting_nothing):
            said += f": {record.getMessage().partition(chr(10))[0]}"
        error = record.exc_info[1] if record.exc_info else None
        return f"{said}\n{where(error)}" if error else said


def log_discreetly() -> None:
    """Let logs, warnings and threads that fail say nothing of a payload."""
    handler = logging.StreamHandler()
    handler.setFormatter(Discreet())
    logging.getLogger().handlers = [handler]
    logging.captureWarnings(True)
    threading.excepthook = lambda failed: print_where(failed.exc_value)


def print_where(error: BaseException | None = None) -> None:
    """Print where an error, or the one being handled, came from, without its text."""
    error = error or sys.exception()
    if error is not None:
        print(f"error:\n{where(error)}", file=sys.stderr, flush=True)
