"""What is known about a face: its mesh, its pose, new identities, and how they are drawn."""
