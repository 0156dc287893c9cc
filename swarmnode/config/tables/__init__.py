"""The rows of the table of keys, a file for each part of the program."""
