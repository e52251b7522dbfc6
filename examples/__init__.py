"""A small morphogenetic system, and what it looks like when it is logged."""
