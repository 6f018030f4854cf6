"""What a command found, in the formats that continuous integration reads."""
