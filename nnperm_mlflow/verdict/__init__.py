"""From numbers to a verdict: the checks of a policy applied to what an audit found."""
