# expect: CODE_CPU_EXCEEDED
# Stays inside one call.
result = 7 ** (7 ** 9) % 3
