"""How far disturbed rows lie outside of the data: whether a learner can tell them from rows as they are."""
