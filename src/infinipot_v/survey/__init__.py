"""What can be said of a machine and of a checkpoint before any weight is loaded."""
