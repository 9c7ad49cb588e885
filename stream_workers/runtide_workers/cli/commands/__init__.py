"""What each command takes. What it does is in the modules of the folder above."""
