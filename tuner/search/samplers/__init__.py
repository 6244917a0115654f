"""Samplers of our own, one file per algorithm; each is an Optuna sampler and never names Ray or Keras."""
