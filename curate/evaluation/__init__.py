"""Evaluates reward models on eval sets: items, metrics, score files, scoring of models."""
