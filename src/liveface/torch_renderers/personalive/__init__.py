"""PersonaLive as a renderer: official weights of the user's, or a small one of our own recipe."""
