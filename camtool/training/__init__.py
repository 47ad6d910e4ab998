"""Training: data sets, augmentation, the loop and its parts, checkpoints.

Importing this package does not import torch; the modules that train do.
"""
