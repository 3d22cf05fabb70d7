# expect: CODE_FAILED
# Raises what has a very long name.
raise type('X' * 1_000_000, (Exception,), {})('y' * 1_000_000)
