"""Texts of pairs as buffers, words and shingles for compiled passes."""
