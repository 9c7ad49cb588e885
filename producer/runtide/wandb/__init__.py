"""`import runtide as wandb`: what scripts written for wandb call besides (docs/wandb.md)."""
