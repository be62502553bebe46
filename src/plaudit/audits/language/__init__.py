"""Measures of language models and of reward models of texts, one file each."""
