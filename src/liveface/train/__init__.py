"""Training: recipes, data, losses, loop (torch)."""
