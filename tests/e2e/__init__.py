"""The deployed template, from the send queue to the table, with IAM enforced."""
