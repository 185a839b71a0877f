"""The page's tabs: a module each, with components and wiring only.

What they show is made by plain functions elsewhere (`photo_view.py`, `cards.py`, ...), which tests
call without Gradio.
"""
