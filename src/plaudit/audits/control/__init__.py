"""Measures of agents in environments, one file each."""
