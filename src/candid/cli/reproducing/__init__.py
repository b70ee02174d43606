"""The studies of `candid reproduce`, one file each."""
