# expect: CODE_MEMORY_EXCEEDED
# Fills memory with a list.
hoard = []
while True:
    hoard.append(' ' * 1_000_000)
