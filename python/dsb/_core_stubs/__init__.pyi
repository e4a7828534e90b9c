"""The stubs of `dsb._core`, for type checkers alone: at run time nothing can be imported from here.

They stand in no folder `_core`: where the extension is missing, Python would take that for an empty package.
"""
