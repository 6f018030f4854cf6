"""A configuration drafted from a model and its data: what each input receives, what that rests on, what is open."""
