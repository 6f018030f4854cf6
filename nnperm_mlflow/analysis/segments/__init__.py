"""Parts of the rows that are told of by themselves."""
