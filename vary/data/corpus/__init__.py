"""Texts, fonts, tables and records that samples are made from."""
