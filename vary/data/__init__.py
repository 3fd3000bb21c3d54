"""The data engine: generators whose `sample(i)` is a pure function of (seed, i)."""
