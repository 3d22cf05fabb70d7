# expect: CODE_MEMORY_EXCEEDED
# Makes one very large text.
text = 'x' * 10_000_000_000
