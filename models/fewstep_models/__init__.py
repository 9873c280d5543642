"""Torch backbones, autoencoders and text encoders written for export, and the zoo of trained weights."""
