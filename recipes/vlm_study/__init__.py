"""The study of calibration across vision-language models: its small models, and how they are trained and unpacked."""
