"""Pictures as such: read safely, blurred, darkened, turned, laid on one another."""
