# expect: CODE_FAILED
# Leaves its group.
import os
os.setpgid(0, data['pid'])
