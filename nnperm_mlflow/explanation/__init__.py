"""What the prediction of one observation rests on, in words and in a picture."""
