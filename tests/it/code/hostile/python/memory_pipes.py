# expect: CODE_FAILED
# Hides memory in pipes.
import os
os.pipe()
