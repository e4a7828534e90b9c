"""S1 and S2: window, prompt, backend and memory put together."""
