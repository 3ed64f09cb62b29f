"""What is known about a face: alignment, quality, embedding, the crop around it."""
