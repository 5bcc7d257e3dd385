"""Benchmarks: never imported by the package."""
