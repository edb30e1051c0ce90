"""Renderers that need torch and weights the user brings; opened by name through `liveface.subject`."""
