"""A training's figures for TensorBoard, by epoch."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import unwritable
from ..models.results import Epoch
from .loop import OnEpoch

PREFIX = "events.out.tfevents."  # of the files that TensorBoard reads


def check_tensorboard() -> None:
    """Raise UserError where the package is missing."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise UserError(
            'TensorBoard is not installed: pip install "maskexplain[tensorboard]", or leave out '
            "--tensorboard."
        ) from error


@contextmanager
def written_to(folder: Path, history: Sequence[Epoch]) -> Iterator[OnEpoch]:
    """Gives what writes an epoch's figures into the folder, where `history` is written first.

    What the folder held is written anew: a resumed training has every epoch once. Raises UserError
    where it cannot be written.
    """
    # Not by SummaryWriter: its thread tells of a full disk by a traceback.
    from torch.utils.tensorboard import RecordWriter

    path = folder / f"{PREFIX}{int(time.time())}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{PREFIX}*"):
            old.unlink()
        with path.open("wb", buffering=0) as file:
            writer = RecordWriter(file)

            def write(line: Epoch) -> None:
                for record in _records(line):
                    writer.write(record)

            writer.write(_event(file_version="brain.Event:2"))
            for line in history:
                write(line)
            yield write
    except OSError as error:
        raise unwritable(path, error) from error


def _records(line: Epoch) -> list[bytes]:
    """An epoch's figures as TensorBoard's files hold them."""
    from torch.utils.tensorboard.summary import scalar

    figures = _figures(line).items()
    return [_event(step=line.epoch, summary=scalar(name, value)) for name, value in figures]


def _event(**content: Any) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=time.time(), **content).SerializeToString()


def _figures(line: Epoch) -> dict[str, float]:
    return {
        "loss/train": line.train_loss,
        "loss/val": line.val_loss,
        "val/balanced accuracy": line.val_balanced_accuracy,
        **{f"val/recall {name}": share for name, share in line.val_recall.items()},
        "learning rate": line.learning_rate,
    }
