"""Data sets, training, metrics and few-step distillation."""
