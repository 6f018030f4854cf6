"""From files to named inputs: the data set, the features in it, and their places in what the model takes."""
