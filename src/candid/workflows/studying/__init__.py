"""The calibration study: one set of questions, asked of any list of models on any list of data sets."""
