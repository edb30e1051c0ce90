"""Signals: files, cameras and faces become arrays."""
