# expect: CODE_KILLED
# Ends past everything.
import os
os._exit(0)
