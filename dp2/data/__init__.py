"""What generators are trained on."""
