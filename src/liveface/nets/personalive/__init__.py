"""The networks of PersonaLive, one module a network; key names are those of the official checkpoints.

Source: Li, Pun, Fang, Wang, Cun 2026 (PersonaLive, arXiv 2512.11253); shapes, names and conventions from the authors'
published checkpoints. The code is ours.
"""
