"""A registered version as a function of named arrays: which version a URI means, and how it is called."""
