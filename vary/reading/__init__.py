"""From pixels to a Document."""
