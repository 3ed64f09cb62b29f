"""From photos and videos to training crops: what `dp2 dataset build` does."""
