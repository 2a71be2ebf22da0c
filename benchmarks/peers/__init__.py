"""The same federated workload, run by this course and by others: one file a contender, each with a `measure`."""
