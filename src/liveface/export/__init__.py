"""Torch networks become run-time files."""
