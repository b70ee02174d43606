"""Last layers retrained for the worst group: problems with a spurious attribute, networks, the study."""
