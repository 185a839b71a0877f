"""The Photo tab."""
