"""Checkpoints of every format in and out: names, files and conversion. Knows no model class and no framework."""
