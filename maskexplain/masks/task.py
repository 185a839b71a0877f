"""The task of the shipped versions: is the mask worn, worn incorrectly, or missing?

The only module that names its three classes. Order: alphabetical, as torchvision's ImageFolder
orders the folders of the public data set.
"""

from ..task import Task, TaskClass, register

INCORRECT, WORN, BARE = "mask_weared_incorrect", "with_mask", "without_mask"

# Colours told apart by colour-blind people (after Okabe and Ito), 3:1 and more on white and black.
MASK = register(
    Task(
        "mask",
        (
            TaskClass(INCORRECT, "Worn incorrectly", "#c46a00", "bad"),
            TaskClass(WORN, "Worn correctly", "#2a7fc0", "good"),
            TaskClass(BARE, "No mask", "#a8589a", "absent"),
        ),
    )
)


def is_mask(task: Task) -> bool:
    """Whether what only this task can do (paint masks, tell of light and noses) fits a task."""
    return task.names == MASK.names
