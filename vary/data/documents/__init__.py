"""Typeset documents."""
