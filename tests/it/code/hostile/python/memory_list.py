# expect: CODE_MEMORY_EXCEEDED or CODE_CPU_EXCEEDED
# Fills memory with a list.
hoard = []
while True:
    hoard.append(' ' * 1_000_000)
