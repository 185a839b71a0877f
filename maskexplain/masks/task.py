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

# Most public data know two classes. A badly worn mask is a mask there.
register(
    Task(
        "mask_or_none",
        (
            TaskClass(WORN, "With mask", MASK.colour(WORN), "good"),
            TaskClass(BARE, MASK.title(BARE), MASK.colour(BARE), "absent"),
        ),
    )
)

# What public data sets call these classes; case, blanks, - and _ do not count.
OTHER_NAMES: dict[str, tuple[str, ...]] = {
    INCORRECT: (
        "mask weared incorrectly",
        "mask worn incorrect",
        "mask worn incorrectly",
        "worn incorrectly",
        "incorrectly worn",
        "incorrectly worn mask",
        "incorrectly masked",
        "incorrect mask",
        "mask incorrect",
        "mask incorrectly",
        "with incorrect mask",
        "with mask incorrect",
        "with mask incorrectly",
        "incorrect",
        "improper mask",
        "improperly worn",
        "improper",
        "wrong mask",
        "mask wrong",
        "mask worn wrong",
        "badly worn",
        "bad mask",
        "imfd",  # MaskedFace-Net's
    ),
    WORN: (
        "mask",
        "masked",
        "masks",
        "face mask",
        "mask on",
        "mask with",
        "with a mask",
        "with face mask",
        "with masks",
        "wearing mask",
        "wears mask",
        "mask worn",
        "mask worn correctly",
        "mask worn correct",
        "mask weared correct",
        "mask weared correctly",
        "worn correctly",
        "correctly worn",
        "correctly worn mask",
        "correctly masked",
        "correct mask",
        "mask correct",
        "mask correctly",
        "with correct mask",
        "with mask correct",
        "correct",
        "proper mask",
        "properly worn",
        "cmfd",  # MaskedFace-Net's
    ),
    BARE: (
        "no mask",
        "no masks",
        "no face mask",
        "non mask",
        "non masked",
        "mask off",
        "mask without",
        "mask none",
        "without",
        "without a mask",
        "without face mask",
        "without masks",
        "not masked",
        "not wearing mask",
        "unmasked",
        "maskless",
        "bare",
        "bare face",
    ),
}


def is_mask(task: Task) -> bool:
    """Whether what only this task can do (paint masks, tell of light and noses) fits a task."""
    return task.names == MASK.names
