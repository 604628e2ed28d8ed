"""Serving: students and cascades behind the OpenAI API, and the cascade itself. Imports nothing heavy."""
