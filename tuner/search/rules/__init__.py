"""The rules of early stopping, one file per rule: values in, a reason to stop out."""
