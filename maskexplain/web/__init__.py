"""The page: its tabs, each with its wiring and its handlers, and how it is served."""
