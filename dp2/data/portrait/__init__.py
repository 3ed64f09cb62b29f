"""Portraits for training: turned, lit, photographed anew, before other scenes."""
