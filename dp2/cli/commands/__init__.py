"""The subcommands of `dp2`, a file each."""
