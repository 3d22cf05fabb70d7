# expect: CODE_FAILED
# Kills the service by its id.
import os, signal
os.kill(data['pid'], signal.SIGTERM)
