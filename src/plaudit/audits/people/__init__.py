"""Measures of people and of the data that they gave, one file each."""
