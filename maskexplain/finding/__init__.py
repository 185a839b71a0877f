"""Faces: found in a picture, and cut out of it as the training crops were."""
