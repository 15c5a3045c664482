"""What is done when, and who is told. Times and events are pure; ``runner.py`` is the part that waits and starts things."""
