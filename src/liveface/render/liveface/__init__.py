"""LiveFace: four small decoders of one person and one compositor for all, over a warped picture."""
