"""What runs the rest: the home loop, threads, what a fork and the end of a process ask for."""
