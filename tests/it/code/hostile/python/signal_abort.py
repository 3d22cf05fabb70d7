# expect: CODE_KILLED
# Aborts.
import os
os.abort()
