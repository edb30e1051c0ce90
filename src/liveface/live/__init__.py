"""Live in a browser: a page on localhost, one engine a viewer, pictures over a WebSocket (docs/decisions/live.md)."""
