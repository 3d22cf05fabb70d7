# expect: CODE_FAILED or CODE_CPU_EXCEEDED or CODE_MEMORY_EXCEEDED
# Prints a huge number.
result = str(10 ** 10_000_000)
