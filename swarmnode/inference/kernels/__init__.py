"""Compiled arithmetic: LLVM IR written in Python, one function a kernel, no compiler on the user's machine."""
