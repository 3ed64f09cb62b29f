"""What is known about a face: alignment, quality, embedding, mesh, pose, new identities, and how they are drawn."""
