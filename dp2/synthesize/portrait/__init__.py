"""dp2's own face generator as a synthesizer's part: crop, graph, backend."""
