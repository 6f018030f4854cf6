"""What an audit leaves: its record and its files, written and read back in one place."""
