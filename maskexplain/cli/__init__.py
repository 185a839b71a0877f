"""The command line: maskexplain COMMAND, or python -m maskexplain COMMAND.

Wrong use is one line on stderr and exit code 2. A picture that fails has its own line among the
results; the others go on, and the exit code is 1. A command's module is imported when it is asked
for: the help needs no PyTorch.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

from .. import __version__
from ..errors import UserError
from ..memory import bound_memory

MAP_HELP = "a folder's or CSV's name for a class: no_mask=without_mask; may be repeated"
# Each command with its module, where `add_COMMAND` gives a parser its options, and its help.
COMMANDS = {
    "serve": ("serve", "serve the page and its HTTP API"),
    "predict": ("pictures", "answer pictures"),
    "explain": ("pictures", "figures and heatmaps"),
    "evaluate": ("measuring", "score a version, or face finding"),
    "compare": ("measuring", "versions held against each other over a folder"),
    "report": ("measuring", "a version's figures, errors and doubtful labels on one page"),
    "results": ("measuring", "stored results as a Markdown table"),
    "data": ("folders", "what is in an image folder: groups, copies, a CSV"),
    "train": ("train", "train one version from its recipe"),
    "import": ("exchange", "somebody else's weights as a version"),
    "export": ("exchange", "a version as TorchScript or ONNX"),
}


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End the program with the line on stderr and exit code 2."""
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Without a command the help is printed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return run("maskexplain", lambda: _parser(arguments[:1]).parse_args(arguments))


def run_command(name: str, program: str) -> int:
    """Run one command as a program of its own; returns the exit code."""
    parser = Parser(prog=program, description=f"{COMMANDS[name][1]}.")
    return run(program, lambda: _with_options(parser, name).parse_args())


def run(program: str, read: Callable[[], argparse.Namespace]) -> int:
    """Read the arguments, do what they ask; an error is one line behind the program's name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name may hold what it cannot print
            stream.reconfigure(errors="backslashreplace")
    stopped = "interrupted."
    try:
        args = read()
        bound_memory()  # a fifth of a long run's time; training keeps more
        stopped = getattr(args, "stopped", stopped)
        return args.run(args) or 0
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the results has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # such as a name that is too long, or a disk that fails
        place, why = str(error.filename or "")[:200], error.strerror or error
        said = f"{place} cannot be used ({why}): check its name and its rights."
        lost = f"The results cannot be written ({why}): make room or choose another place."
        print(f"{program}: {said if place else lost}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"{program}: {str(stop) or stopped}", file=sys.stderr)
        return 130


def add_device(parser: argparse.ArgumentParser, default: str = "cpu") -> None:
    """The option that all commands with a network share."""
    words = f"auto (CUDA, else MPS, else the CPU), cpu, cuda, cuda:1, mps; default: {default}"
    parser.add_argument("--device", default=default, metavar="NAME", help=words)


def add_class_map(parser: argparse.ArgumentParser) -> None:
    """The option that every command with a folder of classes takes."""
    parser.add_argument(
        "--class-map", type=_pair, action="append", default=[], metavar="OLD=NEW", help=MAP_HELP
    )


def _pair(text: str) -> tuple[str, str]:
    old, sign, new = text.partition("=")
    if not (sign and old.strip() and new.strip()):
        raise argparse.ArgumentTypeError(f"{text} is no OLD=NEW: no_mask=without_mask")
    return old.strip(), new.strip()


def _parser(chosen: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of all commands, with the options of the chosen one."""
    parser = Parser(prog="maskexplain")
    parser.set_defaults(run=lambda args: parser.print_help())
    parser.add_argument("--version", action="version", version=f"maskexplain {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (_, words) in COMMANDS.items():
        command = commands.add_parser(name, help=words, description=f"{words}.")
        if name in chosen:
            _with_options(command, name)
    return parser


def _with_options(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    module = import_module(f".{COMMANDS[name][0]}", __name__)
    getattr(module, f"add_{name}")(parser)
    return parser
