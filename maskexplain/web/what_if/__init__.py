"""One face, changed: what each version answers then, and where its answer flips."""
