# expect: CODE_FAILED
# Kills the first process.
import os, signal
os.kill(1, signal.SIGTERM)
