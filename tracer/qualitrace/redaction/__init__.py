"""Takes secrets and personal data out of texts before they leave the process."""
