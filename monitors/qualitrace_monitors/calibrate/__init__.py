"""`qualitrace calibrate`: how far a judge agrees with experts, and at which scores its verdict can be trusted."""
