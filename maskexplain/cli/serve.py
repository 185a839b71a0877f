"""serve: the page and its HTTP API on one port.

PyTorch and Gradio are imported when all else is right: they take seconds, and parts of Gradio read
where temporary files go, and which proxy there is, when they are imported.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import UserError
from ..web.scratch import Scratch, scratch
from . import add_class_map, add_device

if TYPE_CHECKING:
    from ..models.version import Model
    from ..web.compare.split import SplitAnswers

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
NO_SHARED_MEMORY = "Shared memory cannot be used: make /dev/shm a folder that can be written to."
# Of Gradio's variables only these reach it: where --share asks. Others would open the server's
# files (GRADIO_ALLOWED_PATHS), start what is not served here, or stop its import.
TO_GRADIO = ("GRADIO_SHARE_SERVER_ADDRESS", "GRADIO_SHARE_SERVER_TLS_CERTIFICATE")


def add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", help="versions side by side; default: all there are")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="crops: show disagreements on them"
    )
    add_class_map(parser)
    parser.add_argument("--share", action="store_true", help="ask Gradio for a public link")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="ask everyone for these")
    # Gradio's own variables: Hugging Face Spaces and many containers set them.
    host = os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    port = os.environ.get("GRADIO_SERVER_PORT") or "7860"
    parser.add_argument("--host", default=host, help="0.0.0.0 for the whole network")
    parser.add_argument("--port", type=int, default=port)
    # Measured under one and under four callers: one thread an answer gives the most answers.
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch, for each answer")
    add_device(parser)
    root_path = os.environ.get("GRADIO_ROOT_PATH", "")
    parser.add_argument("--root-path", default=root_path, help="what a proxy puts before our paths")
    parser.add_argument(
        "--cors", nargs="+", default=[], metavar="ORIGIN", help="sites whose pages may ask the API"
    )
    parser.add_argument("--mcp", action="store_true", help="tools for assistants (gradio[mcp])")
    parser.set_defaults(run=main)


def credentials(auth: str | None) -> tuple[str, str] | None:
    """USER:PASSWORD as a pair. Raises UserError where one half is missing."""
    if auth is None:
        return None
    user, _, password = auth.partition(":")
    if not user or not password:
        raise UserError("--auth needs USER:PASSWORD, both of them.")
    return user, password


def test_split(
    folder: Path | None, models: Sequence[Model], class_map: Mapping[str, str] | None = None
) -> SplitAnswers | None:
    """The test split of a data folder, not answered yet.

    Its classes are the newest version's where all of these are there, else its own. Raises
    DataError.
    """
    if folder is None:
        return None
    from ..data.folder import csv_beside, list_pictures, select
    from ..task import task_of_classes
    from ..web.compare.split import SplitAnswers
    from .folders import Remarks, classes_in, own_classes

    names, newest = classes_in(folder, class_map or {}), models[-1].task
    fits = len(names) < 2 or {*names} >= {*newest.names}
    labels = newest if fits else task_of_classes(own_classes(folder, class_map or {}))
    pictures = list_pictures(folder, csv_beside(folder), labels, class_map, Remarks())
    return SplitAnswers(models, select(pictures, "test"), labels)


def use_proxies(share: bool) -> None:
    """Leave proxies to --share alone: nothing else asks anybody but this program itself.

    A proxy by SOCKS needs a package that httpx does not bring, and of other kinds it knows none:
    with such a one Gradio cannot even be imported.
    """
    for name in [name for name in os.environ if name.lower() in PROXIES]:
        if not share or not _is_web_proxy(os.environ[name]):
            del os.environ[name]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1,::1"


def _is_web_proxy(address: str) -> bool:
    scheme, sign, place = address.partition("://")
    try:
        port = urlsplit(f"//{place if sign else scheme}").port
    except ValueError:  # no number, or half an address of IPv6
        return False
    return port != 0 and (not sign or scheme.lower() in ("http", "https"))


def leave_out_variables() -> None:
    """Let Gradio see none of its variables but those that are meant for it."""
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        if name not in TO_GRADIO:
            del os.environ[name]


def checked_origins(given: Sequence[str]) -> list[str]:
    """Sites as browsers name them. Raises UserError.

    >>> checked_origins(["https://Example.org/"])
    ['https://example.org']
    """
    origins = [origin.rstrip("/").lower() for origin in given]
    for origin in origins:
        if not re.fullmatch(r"https?://[^\s/*?#@,]+", origin):
            raise UserError("--cors takes sites such as https://example.org, without a path.")
    return origins


def check_shared_memory() -> None:
    """Raise UserError where there is none: Gradio's examples want a lock in it."""
    try:
        multiprocessing.Lock()
    except OSError as error:
        raise UserError(NO_SHARED_MEMORY) from error


class _Ended(SystemExit):
    """A signal has ended the program."""


# Windows has no SIGHUP.
ENDING = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]


def _end(number: int, _: object) -> None:
    for one in ENDING:
        # A second one would break off the tidying up: timeout, some services and people send two.
        # Not SIG_IGN: Python prints a traceback where the second one has come already.
        signal.signal(one, lambda *_: None)
    raise KeyboardInterrupt if number == signal.SIGINT else _Ended(0)


def main(args: argparse.Namespace) -> None:
    if not 0 < args.port < 2**16:
        raise UserError("--port must lie between 1 and 65535.")
    if args.threads < 1:
        raise UserError("--threads must be 1 or more.")
    auth = credentials(args.auth)
    args.cors = checked_origins(args.cors)
    use_proxies(args.share)
    leave_out_variables()
    check_shared_memory()
    # Whoever ends the program ends it cleanly: the folder with the uploads goes with it.
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)
    try:
        with scratch() as folder:
            folder.use()
            _serve(args, auth, folder)
    except _Ended:
        # All that is to be ended has ended. Python would take seconds more to forget its modules;
        # on a busy machine that is longer than containers wait.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _serve(args: argparse.Namespace, auth: tuple[str, str] | None, folder: Scratch) -> None:
    import torch

    from ..data.samples import write_examples
    from ..models.checkpoints import by_number, list_versions
    from ..models.version import open_models

    torch.set_num_threads(args.threads)
    models = open_models(args.models or list_versions() or ["v1"], args.device)
    with ThreadPoolExecutor(1) as beside:  # Gradio's import takes two seconds, of one core
        examples = beside.submit(write_examples, folder.path / "examples", whole=True)
        from ..web.page import build_page
        from ..web.serve import launch
    split = test_split(args.data, models, dict(args.class_map))
    page = build_page(models, examples.result(), split)
    launch(
        page,
        sorted(models, key=lambda model: by_number(model.name)),  # the newest last
        args.host,
        args.port,
        args.share,
        auth,
        root_path=_prefix(args.root_path),
        mcp=args.mcp,
        origins=args.cors,
        scratch=folder,
    )


def _prefix(root_path: str) -> str:
    """A prefix as "/mask", or as a whole address."""
    path = root_path.strip().rstrip("/")
    return path if not path or path.startswith(("/", "http://", "https://")) else f"/{path}"
