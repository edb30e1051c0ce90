"""Photoreal talking heads in real time, offline, on weak hardware."""
