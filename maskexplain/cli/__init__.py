"""The command line: maskexplain COMMAND, or python -m maskexplain COMMAND.

Wrong use is one line on stderr and exit code 2. A picture that fails has its own line among the
results; the others go on, and the exit code is 1. A command's module is imported when it is asked
for: the help needs no PyTorch.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from .. import __version__
from ..errors import UserError

# Each command with its module, where `add_COMMAND` gives a parser its options, and its help.
COMMANDS = {
    "serve": ("serve", "serve the page and its HTTP API"),
    "predict": ("pictures", "answer pictures"),
    "explain": ("pictures", "figures and heatmaps"),
    "evaluate": ("measuring", "score a version, or face finding"),
    "results": ("measuring", "stored results as a Markdown table"),
    "train": ("train", "train one version from its recipe"),
    "import": ("exchange", "somebody else's weights as a version"),
    "export": ("exchange", "a version as TorchScript or ONNX"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Without a command the help is printed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser(arguments[:1])
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return 0
    return run("maskexplain", lambda: args.run(args), getattr(args, "stopped", "interrupted."))


def run(program: str, work: Callable[[], int | None], stopped: str = "interrupted.") -> int:
    """Do the work and return its exit code; an error is one line behind the program's name."""
    try:
        return work() or 0
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: {stopped}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the results has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser(chosen: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of all commands, with the options of the chosen one."""
    parser = argparse.ArgumentParser(prog="maskexplain")
    parser.add_argument("--version", action="version", version=f"maskexplain {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (module, words) in COMMANDS.items():
        command = commands.add_parser(name, help=words)
        if name in chosen:
            getattr(import_module(f".{module}", __name__), f"add_{name}")(command)
    return parser
