# expect: CODE_MEMORY_EXCEEDED
# Fills memory with small things.
hoard = {}
while True:
    hoard[len(hoard)] = [{}, [], ()]
