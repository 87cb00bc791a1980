"""Is it right? Answers, and the arithmetic of each step."""
