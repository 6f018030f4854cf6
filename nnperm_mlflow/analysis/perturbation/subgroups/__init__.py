"""Rows that are alike in what a feature goes with: learned by a tree, told in words, keyed as all shuffles are."""
