"""What this product claims about speed, measured. `make bench` runs all of it.

Figures are ratios and times of one run on one machine; nothing here is a test.
"""
