"""Other people's weights in, versions out for other programs."""
