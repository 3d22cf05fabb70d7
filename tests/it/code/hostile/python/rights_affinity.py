# expect: CODE_FAILED
# Chooses its processors.
import os
os.sched_setaffinity(0, {0})
