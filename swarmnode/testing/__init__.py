"""Public fakes, fixtures and contract tests for people who write plug-ins."""
