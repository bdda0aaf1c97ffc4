"""Metadata of series, searches and bulk data."""
