# expect: CODE_FAILED
# Makes itself more important.
import os
os.setpriority(os.PRIO_PROCESS, 0, -20)
