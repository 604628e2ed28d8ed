"""The built-in app: a shop's database, questions about it in English, and a scripted stand-in for the teacher."""
