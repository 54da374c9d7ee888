"""The long work: run, measure, build."""
