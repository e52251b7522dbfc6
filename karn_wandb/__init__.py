"""Weights & Biases instrument for morphogenetic training."""
