"""Parse, normalise and write the texts that models read and write.

Belongs here: formulas, tables, blocks of documents, boxes and charts in answers, chat templates, pandoc's documents.
May import: only `vary.io.errors`. Never here: torch, transformers, numpy arrays of pixels, fonts.
"""
