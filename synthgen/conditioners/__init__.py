"""What steers a picture beside its words, one file for each kind."""
