"""Labelled faces: an image folder, its splits by group, and masks painted on bare faces."""
