"""Readers for libraries of machine learning, each of which imports the library that it is for."""
