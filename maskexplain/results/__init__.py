"""Scores with counts and intervals: of networks, of explanations, of face finding."""
