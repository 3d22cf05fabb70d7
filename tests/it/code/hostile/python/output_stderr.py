# expect: SUCCESS
# Fills the other stream.
import sys
for _ in range(5_000):
    sys.stderr.write('x' * 1000)
result = []
