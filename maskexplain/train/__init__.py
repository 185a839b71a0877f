"""How a version is made: recipes, the loop, and what a finished training leaves behind."""
