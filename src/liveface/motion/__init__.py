"""Signals become motion."""
