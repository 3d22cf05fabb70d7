# expect: CODE_FAILED
# Becomes a shell.
import os
os.execv('/bin/sh', ['sh', '-c', 'id'])
