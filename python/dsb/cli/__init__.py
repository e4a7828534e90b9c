"""The command `dsb`: one file per verb. A verb parses, calls and displays; it decides nothing."""
