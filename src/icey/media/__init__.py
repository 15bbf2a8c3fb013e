"""Media: sources decoded, scaled, encoded and paced, in threads of their own."""
