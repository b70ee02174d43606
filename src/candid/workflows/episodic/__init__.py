"""The study of test-time prompt tuning: what it does to accuracy and calibration, and how much of it is one move."""
