"""Photographs, detection and pasted objects."""
