"""The Python API: what ``import plaudit`` offers. The command line calls the same functions."""
