# expect: CODE_KILLED
# Ends itself by a fault.
import os, signal
os.kill(os.getpid(), signal.SIGSEGV)
