"""The embedded model `tiny`: its texts, its images, how it is trained, measured and exported."""
