"""Where uploads and videos lie. Knows files, nothing of what is in them or of tasks."""
