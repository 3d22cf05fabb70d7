# expect: SUCCESS
# Closes its streams.
import os, sys
sys.stdout = None
os.close(1)
os.close(2)
result = []
