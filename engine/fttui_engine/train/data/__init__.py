"""From data files to tokenised examples."""
