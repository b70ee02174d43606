"""The study of test-time prompt tuning."""
