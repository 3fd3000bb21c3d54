"""Training: stages are data (a recipe), the loop is one."""
