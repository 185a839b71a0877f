"""Moving pictures: clips read and written, and faces followed from frame to frame."""
