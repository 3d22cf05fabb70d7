# expect: CODE_FAILED
# Becomes a new interpreter.
import os, sys
os.execv(sys.executable, [sys.executable, '-c', 'print(1)'])
