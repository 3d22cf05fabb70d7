# expect: CODE_RESULT_INVALID
# Leaves a result that nests without end.
result = []
for _ in range(100_000):
    result = [result]
