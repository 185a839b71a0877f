"""A training's figures for TensorBoard, by epoch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError
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

    What the folder held is written anew: a resumed training has every epoch once.
    """
    from torch.utils.tensorboard import SummaryWriter

    for file in folder.glob(f"{PREFIX}*"):
        file.unlink()
    with SummaryWriter(str(folder)) as writer:

        def write(line: Epoch) -> None:
            for name, value in _figures(line).items():
                writer.add_scalar(name, value, line.epoch)
            writer.flush()

        for line in history:
            write(line)
        yield write


def _figures(line: Epoch) -> dict[str, float]:
    return {
        "loss/train": line.train_loss,
        "loss/val": line.val_loss,
        "val/balanced accuracy": line.val_balanced_accuracy,
        **{f"val/recall {name}": share for name, share in line.val_recall.items()},
        "learning rate": line.learning_rate,
    }
