"""Versions of networks: built, read, written and asked."""
