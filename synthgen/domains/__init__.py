"""Domains: one file each for the words, the prompt grammar and the added labels of a field of use."""
