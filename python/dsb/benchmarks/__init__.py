"""Benchmarks: items, their files and checks, scorers, and one package per benchmark."""
