# expect: CODE_FAILED
# Reads its environment from the kernel.
result = open('/proc/self/environ').read()
