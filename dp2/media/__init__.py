"""What a source knows about a video and a sink needs to write one like it."""
