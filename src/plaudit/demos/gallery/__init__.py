"""The demonstrations, one file each. Files whose name begins with an underscore are shared by them."""
