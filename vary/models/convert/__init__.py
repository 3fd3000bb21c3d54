"""Checkpoints of other makes to ours and back. The only place that opens pickles."""
