"""Compiled arithmetic: LLVM IR written in Python, one function a kernel; users need no compiler."""
