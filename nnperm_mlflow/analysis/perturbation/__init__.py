"""What is done to features: kinds of perturbation, donors, values, groups."""
