"""What every anonymizer shares; change it by name, e.g. `seed=1` or `device=cuda`."""

seed = 0
device = "auto"
engine = "auto"
batch_size = 4
