"""Runs on a language model."""
