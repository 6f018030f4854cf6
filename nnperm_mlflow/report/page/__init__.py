"""The page of an audit: one file that anybody can open."""
