"""Helpers of tests and benchmarks: real processes that are started, asked and ended from outside."""
