# expect: CODE_KILLED
# Kills itself.
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
