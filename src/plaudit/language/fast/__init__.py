"""Layers written out for speed on a processor, and decoding."""
