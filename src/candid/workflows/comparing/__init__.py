"""Generated sets held against real ones: what went in, what was measured, how it is shown."""
