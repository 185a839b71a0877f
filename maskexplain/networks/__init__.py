"""The networks, their files, and a version ready to answer."""
