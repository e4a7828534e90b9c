"""From a configuration to a complete run log: plan, sessions, records, resume."""
