"""Layers that pass messages over edges, one class per file."""
