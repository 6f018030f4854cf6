"""From an audit to its verdict: policy, baselines, and what run and version are told."""
