"""What a page says and how it is laid out."""
