# expect: CODE_FAILED
# Writes to its own memory past all protection.
open('/proc/self/mem', 'r+b', 0).write(b'x')
