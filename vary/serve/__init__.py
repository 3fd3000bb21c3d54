"""The HTTP server and the demo page."""
