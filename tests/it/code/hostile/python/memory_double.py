# expect: CODE_MEMORY_EXCEEDED or CODE_CPU_EXCEEDED
# Doubles a list for ever.
hoard = [0]
while True:
    hoard += hoard
