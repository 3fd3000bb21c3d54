"""The data engine: generators of samples. `sample(i)` is a pure function of (seed, i).

May import: `io`, `document`, `markup`; never torch or transformers.
Does not belong here: batches and targets (`train`), evaluation tasks (`evaluate`).
"""
