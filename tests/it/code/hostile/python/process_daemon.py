# expect: CODE_FAILED
# Becomes a daemon.
import os
if os.fork():
    os._exit(0)
os.setsid()
