"""Examinations of sources and mixes: rulers, faults and distributions over every pair, with intervals."""
