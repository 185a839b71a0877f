"""Why an answer: heatmaps, tests of how far to believe them, and reports of both."""
