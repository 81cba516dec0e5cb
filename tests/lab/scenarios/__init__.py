"""The scenario files on a real cluster: who types, where a fault can be put, what must have become of it."""
