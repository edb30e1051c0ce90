"""Renders a photo with small networks that correct what the mesh renderer draws."""
