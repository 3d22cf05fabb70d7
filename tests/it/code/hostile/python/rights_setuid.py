# expect: CODE_FAILED
# Becomes another user.
import os
os.setuid(0)
os.setresuid(0, 0, 0)
