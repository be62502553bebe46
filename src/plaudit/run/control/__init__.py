"""Runs of an agent in an environment."""
