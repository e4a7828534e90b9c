"""The routers that the package brings along, one idea each."""
