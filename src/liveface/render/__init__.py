"""Motion becomes frames."""
