# expect: CODE_FAILED
# Removes a directory.
import os
os.rmdir(data['directory'])
