"""Load what samples are made of: text, fonts, tables and published records.

May import: `io`, `markup`, `data.sample`.
Does not belong here: generators of samples.
"""
