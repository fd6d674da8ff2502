"""Exports of a mix: one file per trainer's format, and `run`, which writes any of them."""
