"""The page's tabs: a module each, with components and wiring only.

What they show is made by plain functions elsewhere (`views/photo_view.py`, `views/cards.py`, ...),
which tests call without Gradio.
"""
