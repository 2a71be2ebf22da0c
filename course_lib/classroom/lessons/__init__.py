"""The exercises of each lesson, one file a lesson: `lesson_00.py` declares `q1`, `q2` and so on."""
