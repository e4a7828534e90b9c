"""What people see of a run: tables, figures, a page. Everything here reads the analysis, never a model."""
