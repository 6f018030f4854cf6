"""What is asked for: the audit's configuration and the policy, as strict values."""
