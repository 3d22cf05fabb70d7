# expect: CODE_FAILED
# Leaves its session.
import os
os.setsid()
