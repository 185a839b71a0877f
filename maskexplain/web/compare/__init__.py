"""The versions side by side, on one picture or on a whole split."""
