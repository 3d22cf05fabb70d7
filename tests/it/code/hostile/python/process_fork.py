# expect: CODE_FAILED
# Forks.
import os
os.fork()
