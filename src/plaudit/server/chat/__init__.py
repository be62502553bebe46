"""The page of `plaudit chat --browser`: a conversation with a model of this machine, of which nothing is stored."""
