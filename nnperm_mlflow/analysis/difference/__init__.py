"""What two audits tell of the difference between two versions."""
