"""Speed and memory, measured on the machine and the run that prints them."""
