# expect: CODE_MEMORY_EXCEEDED or CODE_CPU_EXCEEDED
# Fills memory with small things.
hoard = {}
while True:
    hoard[len(hoard)] = [{}, [], ()]
