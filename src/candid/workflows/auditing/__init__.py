"""The audit, one file a question. `front.audit` is the door, `findings.audit_features` the part without a model."""
