"""Serve reading and chat over HTTP (OpenAI-compatible), a demo page, and tools for agents (MCP).

May import: everything but `cli`, `train` and `evaluate`.
Does not belong here: the client (`reading.remote`).
"""
