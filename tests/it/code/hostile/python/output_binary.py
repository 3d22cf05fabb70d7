# expect: SUCCESS
# Prints what is no text.
import os
os.write(1, bytes(range(256)) * 100)
result = []
