"""Detectors made of others: several sizes, several detectors, faces with their bodies."""
