"""serve: the page and its HTTP API on one port."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from ..data.folder import csv_beside, list_pictures, select
from ..data.samples import write_examples
from ..errors import UserError
from ..memory import keep_memory
from ..models.checkpoints import by_number, list_versions
from ..models.version import Model, open_models
from ..web.compare.split import SplitAnswers
from ..web.page import build_page
from ..web.serve import launch


def add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", help="versions side by side; default: all there are")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="crops: show disagreements on them"
    )
    parser.add_argument("--share", action="store_true", help="ask Gradio for a public link")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="ask everyone for these")
    # Gradio's own variables: Hugging Face Spaces and many containers set them.
    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    parser.add_argument("--host", default=host, help="0.0.0.0 for the whole network")
    parser.add_argument("--port", type=int, default=port)
    # Measured under one and under four callers: one thread an answer gives the most answers.
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch, for each answer")
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


def test_split(folder: Path | None, models: Sequence[Model]) -> SplitAnswers | None:
    """The test split of a data folder, not answered yet. Raises DataError."""
    if folder is None:
        return None
    pictures = list_pictures(folder, csv_beside(folder), models[-1].task)
    return SplitAnswers(models, select(pictures, "test"))


def main(args: argparse.Namespace) -> None:
    if not 0 < args.port < 2**16:
        raise UserError("--port must lie between 1 and 65535.")
    if args.threads < 1:
        raise UserError("--threads must be 1 or more.")
    auth = credentials(args.auth)
    torch.set_num_threads(args.threads)
    keep_memory()
    models = open_models(args.models or list_versions() or ["v1"])
    split = test_split(args.data, models)
    # Whoever ends the program ends it cleanly: the folder with the uploads goes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="maskexplain-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "uploads")
        page = build_page(models, write_examples(Path(folder) / "examples", whole=True), split)
        newest_last = sorted(models, key=lambda model: by_number(model.name))
        more = {"root_path": args.root_path.rstrip("/"), "mcp": args.mcp, "origins": args.cors}
        launch(page, newest_last, args.host, args.port, args.share, auth, **more)
