"""Reasons: what the prediction of one observation rests on, beside others."""
