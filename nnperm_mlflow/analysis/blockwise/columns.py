"""Columns that rows and deviations have on their way, beside those of data and table."""

ROW = "__nnperm_row__"
"""Of a block's rows: their positions in the data."""

BLOCK, OUTCOME = "__nnperm_block__", "__nnperm_outcome__"
"""Of what comes out: the number of the shuffle block; and in one row of each block what `block_outcome.dump` tells,
elsewhere nothing."""
