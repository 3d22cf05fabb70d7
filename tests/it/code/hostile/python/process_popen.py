# expect: CODE_FAILED
# Runs a command and reads from it.
import os
result = os.popen('id').read()
