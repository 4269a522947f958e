"""What whoever keeps an index asks of it: its status, what failed, what is wrong, and to try failed items again."""
