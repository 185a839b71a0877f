"""Pictures: read safely, edited, and the faces in them found and cut out."""
