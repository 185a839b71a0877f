"""A clip: its faces' answers over time, its moments to click, and itself with the answers drawn."""
