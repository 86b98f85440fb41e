"""Checkpoints of every format in and out: names, files, conversion. Knows no model class, no framework."""
