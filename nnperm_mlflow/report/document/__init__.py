"""The document of an audit that people file: its chapters, and files of them for Word, for paper and for a browser."""
