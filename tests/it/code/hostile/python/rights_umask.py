# expect: CODE_FAILED
# Changes what new files are.
import os
os.umask(0)
