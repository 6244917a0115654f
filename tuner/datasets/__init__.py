"""Where data come from and how they become numbers: sources, tables, columns, splits, scaling."""
