"""A cluster of Spark as the place where shuffle blocks are audited: all that imports pyspark."""
