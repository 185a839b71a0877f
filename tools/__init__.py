"""What tests and benchmarks share: the program in a process of its own, a browser, a camera."""
