# expect: CODE_MEMORY_EXCEEDED
# Asks for a very large buffer.
buffer = bytearray(1 << 40)
