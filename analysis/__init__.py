"""What finished trials mean: tables, fronts, figures; reads Parquet, never loads torch or Ray.

Importing the package loads nothing heavy: each module imports what it needs where it is used.
"""
