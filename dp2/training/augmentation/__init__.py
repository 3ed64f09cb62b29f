"""Differentiable augmentation for discriminators."""
