"""Builders that ask for their hyperparameters while they run: KerasTuner's `build(hp)` and Optuna's `build(trial)`; how their spaces are found."""
