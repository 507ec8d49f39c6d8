"""Reports why scores are missing: what traces lack, by source, and the settings that help."""
