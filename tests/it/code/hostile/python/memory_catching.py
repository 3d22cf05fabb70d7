# expect: SUCCESS
# Catches that there is no memory, and goes on.
hoard = []
result = []
for _ in range(3):
    try:
        while True:
            hoard.append(bytearray(1_000_000))
    except MemoryError:
        if len(hoard) > 200:
            result.append(len(hoard))
        hoard.clear()
