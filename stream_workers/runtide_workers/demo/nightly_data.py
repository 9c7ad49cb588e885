"""The data files of the nightly training: a good one, and one whose export went wrong."""

from pathlib import Path

import numpy as np

from .plan import CORRUPTED


def write(folder: Path) -> tuple[Path, Path]:
    """(good, bad): handwritten digits, split for training and validation, as .npz files.

    The bad one is what a join that is off by one leaves behind: in the last part of the training rows each image has
    the label of its neighbour. The validation rows are the same in both.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x / 16, y, test_size=0.25, stratify=y, random_state=0)
    shifted = y_train.copy()
    first = round((1 - CORRUPTED) * len(shifted))
    shifted[first:] = np.roll(shifted[first:], 1)
    good, bad = folder / "digits-v1.npz", folder / "digits-v2.npz"
    np.savez(good, x_train=x_train, y_train=y_train, x_val=x_val, y_val=y_val)
    np.savez(bad, x_train=x_train, y_train=shifted, x_val=x_val, y_val=y_val)
    return good, bad
