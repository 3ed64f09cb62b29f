"""From portraits to what new faces are made of: meshes, textures, the face model and the bank of identities."""
