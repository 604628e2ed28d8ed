"""What was measured and found, as frozen records, with their one reader and writer."""
