# expect: CODE_FAILED
# Kills the service.
import os, signal
os.kill(os.getppid(), signal.SIGKILL)
