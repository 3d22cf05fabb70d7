# expect: CODE_FAILED
# Changes the times of a file.
import os
os.utime(data['file'])
