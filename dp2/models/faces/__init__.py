"""Networks that find faces or tell them apart."""
