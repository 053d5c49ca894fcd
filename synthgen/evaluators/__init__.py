"""What does a set tell, and may it be believed? One question, one file."""
