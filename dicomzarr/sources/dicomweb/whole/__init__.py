"""Whole instances and whole series, where frames do not come by themselves."""
