"""`python -m karn_wandb` is `karn-wandb`."""

from karn_wandb.cli import main

if __name__ == "__main__":
    main(prog_name="karn-wandb")
