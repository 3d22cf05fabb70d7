# expect: CODE_FAILED
# Changes the owner of a file.
import os
os.chown(data['file'], 0, 0)
