"""What every room uses and that knows none of them: errors, paths, names of files, text, documents."""
