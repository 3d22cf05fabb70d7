# expect: CODE_FAILED
# Kills all that it can.
import os, signal
os.kill(-1, signal.SIGKILL)
