"""What is signed, by whom, and whether that counts: keys, statements, envelopes, the trust file, bundles."""
