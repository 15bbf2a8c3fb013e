"""Recording: what a browser sends, written so that nothing of it is lost."""
