"""What is the matter with sources and mixes: rulers, faults and distributions over every pair, with intervals."""
