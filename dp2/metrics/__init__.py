"""How generators are measured."""
