"""The one error that a person is meant to read."""


class UserError(Exception):
    """Bad input: its text is one sentence that says what is wrong and what to do.

    The command line prints it on one line and exits with 2, the page shows it as a message.
    """
