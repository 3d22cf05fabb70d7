# expect: SUCCESS
# Prints more than is kept.
for _ in range(20_000):
    print('x' * 1000)
result = []
