"""Demonstrations of where RLHF goes wrong: one file each, found by being here. They use the product's own parts."""
