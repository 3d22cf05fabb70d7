# expect: CODE_FAILED
# Kills its group.
import os, signal
os.killpg(0, signal.SIGKILL)
