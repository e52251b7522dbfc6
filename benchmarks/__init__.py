"""Measurements of cost, as ratios, interleaved in one run; run by hand, never as tests."""
