"""Charts with their data as text."""
