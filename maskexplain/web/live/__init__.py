"""The live camera: faces followed from frame to frame, and what lies over them."""
